internal import Bus
internal import GuestMemory
internal import Interrupts
internal import Logging
internal import PCI
internal import Platform
internal import Virtio

/// Lets the bytes play a guest against a virtio device on the PCI bus, and checks what the transport promises.
///
/// The bytes choose the device, then accesses of every kind in any order: to configuration space by both ways, to the range wherever it is,
/// good steps of a driver in between, and what device and machine do meanwhile. A broken promise ends the process. The same bytes do the same
/// always.
public func fuzzPCITransport(_ bytes: [UInt8]) {
  var input = FuzzInput(bytes)
  guard let guest = try? FuzzGuest(&input) else { preconditionFailure("a device can always be made") }
  for _ in 0..<256 where !input.isEmpty {
    guest.step(&input)
    guest.check()
  }
  guest.finish()
}

/// A machine with one device, and a guest that does what the bytes say.
private final class FuzzGuest {
  private struct Trouble: Error {}

  private enum Place {
    static let memorySize: UInt64 = 64 << 10
    static let window: UInt64 = 0xd000_0000
    static let windowSize: UInt64 = 1 << 20
    static let ecam: UInt64 = 0xe000_0000
  }

  private let memory: GuestMemory
  private let device: FuzzDevice
  private let doorbells = FuzzDoorbells()
  private let line: LevelInterrupt?
  private let root: PCIRoot
  private let slot: Int
  private let ranges: (ecam: BusRange, ports: BusRange)
  private let transport: VirtioPCIDevice
  private let addresses = Bus()
  private let ports = Bus()
  private var addressView: BusView
  private var portView: BusView

  init(_ input: inout FuzzInput) throws {
    let choices = input.byte()
    memory = try GuestMemory(regions: [(GuestAddress(0), Place.memorySize)])
    device = FuzzDevice(queueCount: Int(choices >> 4) & 3, refuses: choices & 0x80 != 0)
    line = choices & 1 != 0 ? try LevelInterrupt() : nil
    guard let window = BusRange(base: Place.window, length: Place.windowSize),
      let ecam = BusRange(base: Place.ecam, length: ECAM.bytesPerBus),
      let configuration = BusRange(base: ConfigurationPorts.basePort, length: ConfigurationPorts.portCount)
    else { throw Trouble() }
    root = PCIRoot(memory: addresses, ports: ports, windows: PCIWindows(memory32: window), logger: silent)
    let host = VirtioPCIHost(
      memory: memory, doorbells: choices & 2 != 0 ? doorbells : nil, messages: FuzzMessages(refuses: choices & 0x40 != 0),
      loop: try EventLoop())
    transport = try VirtioPCIDevice(
      device, name: "fuzzed", host: host, interrupt: line, offersPackedRing: choices & 4 != 0, logger: silent)
    addressView = BusView(addresses)
    portView = BusView(ports)
    try addresses.insert(ECAM(root: root), at: ecam)
    try ports.insert(ConfigurationPorts(root: root) {}, at: configuration)
    slot = try root.add(transport)
    ranges = (ecam, configuration)
    // Most guests let the device decode first.
    if choices & 8 != 0 { transport.writeConfiguration(offset: 4, width: 2, value: 6) }
  }

  // MARK: What the bytes may choose

  func step(_ input: inout FuzzInput) {
    switch input.choice(16) {
    case 0: configure(&input)
    case 1: useConfigurationPorts(&input)
    case 2: useWindow(&input)
    case 3, 4: setCommonField(&input)
    case 5: access(base &+ UInt64(input.word() & 0x7fff), &input)
    case 6: useVectors(&input)
    case 7: access(input.flag() ? input.long() : Place.window &+ UInt64(input.word()) << 4, &input)
    case 8: transport.write(offset: Common.status, width: 1, value: UInt64(input.byte()))
    case 9: start(&input)
    case 10: notify(&input)
    case 11: writeRing(&input)
    case 12: device.serve(&input)
    case 13: moveRange(&input)
    case 14: saveAndRestore(&input)
    default: transport.writeConfiguration(offset: 4, width: 2, value: UInt32(input.word()))
    }
  }

  /// Offsets in the common configuration structure (virtio 1.2, section 4.1.4.3).
  private enum Common {
    static let driverFeatureSelect: UInt64 = 0x08
    static let driverFeature: UInt64 = 0x0c
    static let status: UInt64 = 0x14
    static let queueSelect: UInt64 = 0x16
    static let queueSize: UInt64 = 0x18
    static let queueVector: UInt64 = 0x1a
    static let queueEnable: UInt64 = 0x1c
    static let descriptors: UInt64 = 0x20
    static let driverArea: UInt64 = 0x28
    static let deviceArea: UInt64 = 0x30
    static let end: UInt64 = 0x38
  }

  /// Where the device's range would be if it were decoded.
  private var base: UInt64 { UInt64(transport.readConfiguration(offset: 0x10, width: 4) & ~0x7fff) }

  private func access(_ address: UInt64, _ input: inout FuzzInput) {
    let width = input.choice(9)
    if input.flag() { addressView.write(address, width: width, value: input.long()) } else { _ = addressView.read(address, width: width) }
  }

  private func configure(_ input: inout FuzzInput) {
    let function = input.flag() ? 1 << 15 : UInt64(input.byte()) << 12
    access(Place.ecam + function + UInt64(input.word() & 0xfff), &input)
  }

  private func useConfigurationPorts(_ input: inout FuzzInput) {
    portView.write(ConfigurationPorts.basePort, width: 4, value: 0x8000_0800 | UInt64(input.byte()))
    let port = ConfigurationPorts.basePort + UInt64(input.choice(9))
    let width = input.choice(9)
    if input.flag() { portView.write(port, width: width, value: input.long()) } else { _ = portView.read(port, width: width) }
  }

  /// Where a capability is, found as a guest finds it; a vendor's is told by virtio's kind of it.
  private func capability(_ id: UInt32, kind: UInt32? = nil) -> Int {
    var offset = 0x40
    while offset != 0 {
      let head = transport.readConfiguration(offset: offset, width: 4)
      if head & 0xff == id, kind == nil || head >> 24 == kind { return offset }
      offset = Int(head >> 8 & 0xff)
    }
    preconditionFailure("every capability can be found")
  }

  /// The capability through which the range is reached from configuration space (section 4.1.4.9).
  private func useWindow(_ input: inout FuzzInput) {
    let capability = capability(0x09, kind: 5)
    let offset = input.flag() ? UInt32(input.word()) : UInt32(input.byte())
    transport.writeConfiguration(offset: capability + 4, width: 1, value: input.flag() ? 0 : UInt32(input.byte()))
    transport.writeConfiguration(offset: capability + 8, width: 4, value: offset)
    transport.writeConfiguration(offset: capability + 12, width: 4, value: UInt32(input.choice(6)))
    let width = input.choice(5)
    if input.flag() {
      transport.writeConfiguration(offset: capability + 16, width: width, value: UInt32(truncatingIfNeeded: input.long()))
    } else {
      _ = transport.readConfiguration(offset: capability + 16, width: width)
    }
  }

  /// MSI-X: the control word, or a field of the table or of the pending bits.
  private func useVectors(_ input: inout FuzzInput) {
    switch input.choice(4) {
    case 0: transport.writeConfiguration(offset: capability(0x11) + 2, width: 2, value: UInt32(input.byte()) << 8)
    case 1: access(base &+ (input.flag() ? 0x6000 : 0x7000) &+ UInt64(input.byte()), &input)
    default:
      let entry = 0x6000 + 16 * UInt64(input.choice(5))
      write(entry, 8, input.flag() ? 0xfee0_0000 : input.long())
      write(entry + 8, 4, UInt64(input.byte()))
      write(entry + 12, 4, UInt64(input.byte()))
    }
  }

  /// Memory near the beginning of one of a queue's areas, or anywhere.
  private func writeRing(_ input: inout FuzzInput) {
    let near = UInt64(input.choice(4)) << 12 | UInt64(input.choice(3)) << 10 | UInt64(input.byte())
    let address = GuestAddress(input.flag() ? near : UInt64(input.word()))
    if input.flag() { try? memory.store(input.word(), at: address) } else { try? memory.store(input.long(), at: address) }
  }

  private func setCommonField(_ input: inout FuzzInput) {
    let offset = UInt64(input.byte()) % Common.end
    let value = input.flag() ? input.long() : UInt64(input.byte())
    transport.write(offset: offset, width: 1 << input.choice(4), value: value)
  }

  /// What a good driver does, for as many queues as the bytes say.
  private func start(_ input: inout FuzzInput) {
    let features = VirtioFeatures.version1 | (input.flag() ? VirtioFeatures.packedRing : 0)
    write(Common.status, 1, 0)
    for status: UInt64 in [1, 3] { write(Common.status, 1, status) }
    for half: UInt64 in [0, 1] {
      write(Common.driverFeatureSelect, 4, half)
      write(Common.driverFeature, 4, features >> (32 * half) & 0xffff_ffff)
    }
    write(Common.status, 1, 11)
    for queue in 0..<UInt64(input.choice(4)) {
      write(Common.queueSelect, 2, queue)
      write(Common.queueSize, 2, input.flag() ? UInt64(input.byte()) : 1 << UInt64(input.choice(7)))
      write(Common.queueVector, 2, UInt64(input.choice(5)))
      let start = queue << 12 | (input.flag() ? UInt64(input.byte()) : 0)
      for (area, offset) in [(Common.descriptors, 0), (Common.driverArea, 0x400), (Common.deviceArea, 0x800)] as [(UInt64, UInt64)] {
        write(area, 8, start + offset)
      }
      write(Common.queueEnable, 2, 1)
    }
    write(Common.status, 1, 15)
  }

  private func write(_ offset: UInt64, _ width: Int, _ value: UInt64) { transport.write(offset: offset, width: width, value: value) }

  private func notify(_ input: inout FuzzInput) {
    let queue = UInt64(input.byte())
    transport.write(offset: 0x3000 + 4 * queue, width: 2, value: queue)
  }

  private func moveRange(_ input: inout FuzzInput) {
    let place = input.flag() ? Place.window &+ UInt64(input.byte()) << 15 : input.long()
    transport.writeConfiguration(offset: 0x10, width: 4, value: UInt32(truncatingIfNeeded: place))
  }

  private func saveAndRestore(_ input: inout FuzzInput) {
    transport.suspend()
    guard var state = try? transport.snapshot() else { preconditionFailure("every state can be saved") }
    if input.flag() {
      state[Int(input.word()) % state.count] = input.byte()
      if input.flag() { state.removeLast(Int(input.byte()) % state.count) }
      // It may be refused; what is taken over keeps every promise.
      try? transport.restore(state)
    } else {
      precondition((try? transport.restore(state)) != nil, "every state can be restored")
    }
    transport.resume()
  }

  // MARK: What must hold

  func check() {
    let status = transport.read(offset: Common.status, width: 1)
    let (isReady, needsReset) = (status & 4 != 0, status & 64 != 0)
    precondition(status & 0x30 == 0, "reserved bits stay clear")
    precondition(!isReady || status & 8 != 0, "no service without features")
    precondition(!device.isActive || isReady, "no service without a driver")
    precondition(device.isActive || !isReady || needsReset, "a driver that is not served is told")
    if !device.isActive { precondition(doorbells.isEmpty, "no doorbells without service") }
  }

  /// Unplugs the device: nothing of it is left. Takes the machine apart too, because its buses and its root hold each other.
  func finish() {
    transport.stop()
    precondition((try? root.remove(slot: slot)) != nil, "a device can be unplugged")
    try? addresses.remove(at: ranges.ecam)
    try? ports.remove(at: ranges.ports)
    precondition(!device.isActive && doorbells.isEmpty, "nothing is served at the end")
    for offset in stride(from: 0, to: Place.windowSize, by: 0x8000) {
      precondition(addressView.read(Place.window + offset + Common.status, width: 1) == .max, "nothing answers at the end")
    }
  }
}

/// A device that looks at its queues when it is told to.
private final class FuzzDevice: VirtioDevice, @unchecked Sendable {
  private struct Refusal: Error {}

  let type = VirtioDeviceType.block
  let features: UInt64 = 5
  let queueSizes: [UInt16]
  private let refuses: Bool
  private var activation: VirtioActivation?
  private var interrupt: (any VirtioInterrupt)?
  private var configuration: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]

  init(queueCount: Int, refuses: Bool) {
    queueSizes = [UInt16](repeating: 64, count: queueCount)
    self.refuses = refuses
  }

  var isActive: Bool { activation != nil }

  func readConfiguration(offset: UInt64, width: Int) -> UInt64 {
    (0..<UInt64(width)).reduce(0) { value, index in
      let (at, overflow) = offset.addingReportingOverflow(index)
      return overflow || at >= 8 ? value : value | UInt64(configuration[Int(at)]) << (8 * index)
    }
  }

  func writeConfiguration(offset: UInt64, width: Int, value: UInt64) {
    precondition((1...8).contains(width) && (width == 8 || value >> UInt64(8 * width) == 0), "only the bytes of the access come")
    if offset < 8 { configuration[Int(offset)] = UInt8(truncatingIfNeeded: value) }
  }

  func activate(_ activation: VirtioActivation) throws {
    precondition(!isActive, "a device is reset before it is activated again")
    precondition(activation.queues.count == queueSizes.count, "every queue is there, enabled or not")
    guard !refuses else { throw Refusal() }
    self.activation = activation
    interrupt = activation.interrupt
  }

  func reset() { activation = nil }
  func suspend() {}
  func resume() {}
  func snapshot() throws -> [UInt8] { configuration }

  func restore(_ bytes: [UInt8]) throws {
    guard bytes.count == configuration.count else { throw Refusal() }
    configuration = bytes
  }

  /// What a worker would do, or an event on the host.
  func serve(_ input: inout FuzzInput) {
    // A worker may speak of its queue a little after the reset.
    switch input.choice(4) {
    case 0: interrupt?.signalConfigurationChange()
    case 1: interrupt?.deviceNeedsReset("the bytes say so")
    case 2: interrupt?.signalUsed(queue: UInt16(input.choice(5)))
    default:
      for case let queue? in activation?.queues ?? [] { FuzzDevice.drain(queue) }
    }
  }

  private static func drain(_ queue: VirtQueue) {
    var chain = DescriptorChain()
    for _ in 0..<4 {
      do {
        guard try queue.next(into: &chain) else { break }
        queue.complete(chain.id, written: 0)
      } catch {
        queue.fail(error.description)
        return
      }
    }
    queue.notify()
  }
}

/// Doorbells as the kernel keeps them: no two at one address.
private final class FuzzDoorbells: DoorbellRegistrar, @unchecked Sendable {
  private struct Refusal: Error {}
  private var events: [UInt64: Int32] = [:]

  var isEmpty: Bool { events.isEmpty }

  func attach(event: Int32, at address: UInt64) throws {
    guard events[address] == nil else { throw Refusal() }
    events[address] = event
  }

  func detach(event: Int32, at address: UInt64) throws {
    guard events[address] == event else { throw Refusal() }
    events[address] = nil
  }
}

private final class FuzzMessages: MessageInterruptAllocator {
  private struct Refusal: Error {}

  private final class Message: MessageInterrupt {
    let event: EventFD
    init() throws { event = try EventFD() }
    func route(_ message: InterruptMessage) throws {}
  }

  private let refuses: Bool

  init(refuses: Bool) { self.refuses = refuses }

  func makeMessageInterrupt() throws -> any MessageInterrupt {
    guard !refuses else { throw Refusal() }
    return try Message()
  }
}

/// Hostile guests make devices talk.
private let silent = Logger(label: "fuzzed") { _ in SwiftLogNoOpLogHandler() }
