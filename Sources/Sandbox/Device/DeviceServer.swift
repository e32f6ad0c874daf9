internal import Bus
internal import Glibc
internal import GuestMemory
internal import Interrupts
internal import Logging
internal import PCI
internal import Platform
internal import Virtio

/// Serves a device in its own process: one thread that takes the VMM's requests and hears of the interrupt line.
final class DeviceServer: Sendable {
  /// What the server's thread begins with.
  struct Start: Sendable {
    let specification: DeviceSpecification
    let descriptors: DeviceDescriptors
    let rings: [Handover<IOUring>]
    let builder: DeviceBuilder

    /// Builds the device, serves it, and ends the process.
    func run() -> Never {
      let link = MachineLink(PacketSocket(descriptors.requests.takeOrNothing()))
      do {
        try DeviceServer(self, link).serve()
      } catch {
        try? link.send(.failed("\(error)"))
        exit(1)
      }
      exit(0)
    }
  }

  private let link: MachineLink
  private let device: VirtioPCIDevice
  private let loop: EventLoop

  private init(_ start: Start, _ link: MachineLink) throws {
    let specification = start.specification
    let descriptors = start.descriptors
    let events = EventSender(PacketSocket(descriptors.events.takeOrNothing()))
    LoggingSystem.bootstrap { _ in EventLogHandler(sender: events, logLevel: specification.level) }
    let logger = Logger(label: "crosvm")
    let size = specification.regions.reduce(0) { $0 &+ $1.size }
    let file = MemoryFile(descriptors.memory.takeOrNothing(), size: Int(clamping: size))
    let memory = try GuestMemory(file: file, regions: specification.regions)
    var reader = ByteReader(specification.blueprint)
    let model = try start.builder(specification.kind, &reader, DescriptorList(descriptors.device, rings: start.rings), logger)
    try reader.finish()
    let line = LevelInterrupt(
      trigger: EventFD(descriptors.line.trigger.takeOrNothing()), resample: EventFD(descriptors.line.resample.takeOrNothing()))
    // Before the first signal, which waits in the event until somebody is attached to it.
    line.onFirstSignal { events.send(.attachLine) }
    loop = try EventLoop()
    let host = VirtioPCIHost(memory: memory, doorbells: link, messages: link, loop: loop)
    device = try VirtioPCIDevice(
      model, name: specification.name, host: host, interrupt: specification.hasLine ? line : nil,
      offersPackedRing: specification.offersPackedRing, logger: logger)
    device.connect(link)
    self.link = link
  }

  private func serve() throws {
    try link.send(.ready(device.bars))
    try loop.add(link.number) { [self] _ in
      do {
        guard let packet = try link.receive() else { exit(0) }
        try answer(packet)
      } catch {
        // Nobody to tell: the VMM is gone, or talks nonsense.
        exit(1)
      }
    }
    // What the start needs, and a driver's first accesses, is not needed afterwards.
    try loop.run(idleAfter: Self.idleMilliseconds) { ProgramText.release() }
  }

  /// After so long without an access the guest has done what it does at first.
  private static let idleMilliseconds: Int32 = 1000

  private func answer(_ packet: [UInt8]) throws {
    let (request, number) = try DeviceRequest.decode(packet)
    var answer = DeviceMessage.value(0, number: number)
    switch request {
    case .readConfiguration(let offset, let width):
      answer = .value(UInt64(device.readConfiguration(offset: Int(offset), width: Int(width))), number: number)
    case .writeConfiguration(let offset, let width, let value):
      device.writeConfiguration(offset: Int(offset), width: Int(width), value: value)
    case .read(let offset, let width): answer = .value(device.read(offset: offset, width: Int(width)), number: number)
    case .write(let offset, let width, let value): device.write(offset: offset, width: Int(width), value: value)
    case .suspend: device.suspend()
    case .resume: device.resume()
    case .order(let bytes):
      do { answer = .bytes(try device.device.perform(bytes), number: number) } catch { answer = .refused("\(error)", number: number) }
    case .stop:
      device.stop()
      device.device.finish()
      try link.send(answer)
      exit(0)
    }
    try link.send(answer)
  }
}

extension DescriptorBox {
  /// The descriptor, which is taken once only.
  fileprivate func takeOrNothing() -> OwnedDescriptor { take() ?? OwnedDescriptor(owning: -1) }
}
