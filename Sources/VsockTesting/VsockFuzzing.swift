internal import GuestMemory
internal import Logging
internal import Platform
internal import Virtio
internal import VirtioTesting
internal import VsockDevice

/// Plays a guest, and host programs, as bytes choose it, against a socket device, and compares what arrives with what was sent.
///
/// A connection that only good packets were sent on gets every byte in order, in both directions, and the guest never more than its room.
/// Whatever else is sent, the device keeps its bounds and goes on.
public func fuzzVsock(_ bytes: [UInt8]) {
  do {
    let session = try VsockFuzzer(bytes)
    try session.run()
  } catch { preconditionFailure("the guest could not go on: \(error)") }
}

/// One run of `fuzzVsock`.
final class VsockFuzzer {
  /// A connection of the guest as the guest knows it.
  struct Model {
    let guestPort: UInt32
    let hostPort: UInt32
    let isSequenced: Bool
    var end: DescriptorBox?
    /// Nothing is known of it any more: something hostile was sent, or it has ended.
    var isSpoiled = false
    var isOpen = false
    var sent = 0
    var readByHost = 0
    var writtenByHost = 0
    var received = 0
    var deviceForwarded: UInt32 = 0
    var deviceAllocation: UInt32 = 0
    /// What the guest said of its room, at most.
    var allowed = 0
  }

  static let context: UInt32 = 3
  private var input: FuzzInput
  private let memory: GuestMemory
  private let device: VsockExercise
  private var receive: SplitDriver
  private var transmit: SplitDriver
  private let interrupt: FakeInterrupt
  private var models: [Model] = []
  private var posted: [UInt16: GuestBuffer] = [:]
  private static let allocation = 5000
  private static let features = ActivatedDevice.usualFeatures | VsockExercise.features

  init(_ bytes: [UInt8]) throws {
    input = FuzzInput(bytes)
    memory = try GuestMemory(regions: [(GuestAddress(0), 1 << 20)])
    device = VsockExercise(context: Self.context, logger: Logger(label: "fuzzed") { _ in SwiftLogNoOpLogHandler() })
    interrupt = try FakeInterrupt()
    receive = try Self.driver(memory, 4096)
    transmit = try Self.driver(memory, 512 << 10)
    try begin()
  }

  private static func driver(_ memory: GuestMemory, _ base: UInt64) throws -> SplitDriver {
    try SplitDriver(size: 32, features: features, heap: GuestHeap(memory, base: base, count: 500 << 10))
  }

  private func begin() throws {
    receive = try Self.driver(memory, 4096)
    transmit = try Self.driver(memory, 512 << 10)
    posted = [:]
    let queues = try [receive, transmit].enumerated().map { index, driver in
      try VirtQueue(
        index: UInt16(index), configuration: driver.configuration, memory: memory, features: Self.features, doorbell: EventFD(),
        interrupt: interrupt) as VirtQueue?
    }
    try device.begin(VirtioActivation(memory: memory, features: Self.features, queues: queues, interrupt: interrupt))
  }

  func run() throws {
    for _ in 0..<400 where !input.isEmpty {
      try act()
      if let problem = device.turn() { preconditionFailure(problem) }
      precondition(interrupt.record.resetReasons.isEmpty, "the rings are in order")
      for end in device.takeEnds() {
        guard let index = models.firstIndex(where: { $0.hostPort == end.port }) else { continue }
        models[index].end = end.socket
      }
      if try transmit.poll() == nil { precondition(transmit.outstanding == 0, "a packet was not taken") }
      try takePackets()
    }
  }

  private func act() throws {
    switch input.choice(12) {
    case 0, 1: try request()
    case 2, 3: try data()
    case 4: try hostile()
    case 5: hostWrites()
    case 6: hostReads()
    case 7: if let index = pick() { models[index].end = nil }
    case 8: try post([1, 44, 45, 100, 4096][input.choice(5)])
    case 9: try shutDown()
    case 10: try credit()
    default: if input.choice(8) == 0 { try restart() }
    }
  }

  private func pick() -> Int? { models.isEmpty ? nil : input.choice(min(models.count, 256)) }

  private func pickGood() -> Int? { pick().flatMap { models[$0].isOpen && !models[$0].isSpoiled ? $0 : nil } }

  // MARK: The guest

  private func packet(_ operation: UInt16, _ model: Model) -> VsockPacket {
    var packet = VsockPacket()
    packet.source = UInt64(Self.context)
    packet.destination = VsockPacket.hostContext
    packet.sourcePort = model.guestPort
    packet.destinationPort = model.hostPort
    packet.kind = model.isSequenced ? VsockPacket.Kind.sequenced : VsockPacket.Kind.stream
    packet.operation = operation
    packet.allocation = UInt32(Self.allocation)
    packet.forwarded = UInt32(model.received)
    return packet
  }

  private func send(_ packet: VsockPacket, _ payload: [UInt8] = []) throws {
    let bytes = packet.bytes + payload
    let cut = 1 + input.choice(64)
    _ = try transmit.submit(readable: cut < bytes.count ? [Array(bytes[..<cut]), Array(bytes[cut...])] : [bytes])
  }

  private func request() throws {
    guard models.count < 64 else { return }
    let model = Model(guestPort: UInt32(input.choice(4)), hostPort: 1000 + UInt32(models.count), isSequenced: input.flag())
    models.append(model)
    models[models.count - 1].allowed = Self.allocation
    try send(packet(VsockPacket.Operation.request, model))
  }

  private func data() throws {
    guard let index = pickGood() else { return }
    let model = models[index]
    let credit = Int(model.deviceAllocation) - (model.sent - Int(model.deviceForwarded))
    let count = min(credit, Int(input.word()) % 3000)
    guard count > 0 else { return }
    var packet = packet(VsockPacket.Operation.data, model)
    packet.length = UInt32(count)
    packet.flags = VsockPacket.Flag.endOfMessage
    try send(packet, (0..<count).map { Self.byte(model.sent + $0, model.hostPort) })
    models[index].sent += count
    models[index].allowed = models[index].received + Self.allocation
  }

  /// A byte of a connection: differs from those of others, and from its neighbours.
  private static func byte(_ offset: Int, _ port: UInt32) -> UInt8 { UInt8(truncatingIfNeeded: offset &* 7 &+ Int(port) &* 13) }

  private func hostile() throws {
    var packet = VsockPacket()
    packet.source = input.choice(8) == 0 ? input.long() : UInt64(Self.context)
    packet.destination = input.choice(8) == 0 ? input.long() : VsockPacket.hostContext
    packet.sourcePort = UInt32(input.choice(4))
    packet.destinationPort = 1000 + UInt32(input.choice(64))
    packet.kind = UInt16(input.choice(4))
    packet.operation = UInt16(input.choice(10))
    packet.flags = UInt32(input.byte())
    packet.length = input.flag() ? UInt32(input.byte()) : UInt32(truncatingIfNeeded: input.long())
    packet.allocation = UInt32(truncatingIfNeeded: input.long())
    packet.forwarded = UInt32(truncatingIfNeeded: input.long())
    for index in models.indices where models[index].hostPort == packet.destinationPort { models[index].isSpoiled = true }
    let payload = (0..<input.choice(256)).map { UInt8(truncatingIfNeeded: $0) }
    if input.choice(8) == 0 {
      _ = try transmit.submit(readable: [Array(packet.bytes.prefix(1 + input.choice(44)))])
    } else {
      try send(packet, payload)
    }
  }

  private func shutDown() throws {
    guard let index = pickGood() else { return }
    var packet = packet(VsockPacket.Operation.shutdown, models[index])
    packet.flags = UInt32(input.choice(4))
    models[index].isSpoiled = true
    try send(packet)
  }

  private func credit() throws {
    guard let index = pickGood() else { return }
    models[index].allowed = models[index].received + Self.allocation
    try send(packet(VsockPacket.Operation.creditUpdate, models[index]))
  }

  private func post(_ size: Int) throws {
    for _ in 0..<8 where receive.outstanding < 32 {
      if receive.outstanding == 0 { receive.heap.reset() }
      guard let address = try? receive.heap.allocate(UInt64(size)) else { return }
      let buffer = GuestBuffer(address: address, count: UInt32(size))
      posted[try receive.add(readable: [], writable: [buffer], indirect: false).id] = buffer
    }
  }

  private func restart() throws {
    device.end()
    precondition(device.connectionCount == 0, "connections survive their driver")
    models = models.map { model in
      var model = model
      model.isSpoiled = true
      return model
    }
    try begin()
  }

  private func takePackets() throws {
    while let used = try receive.poll() {
      guard let buffer = posted.removeValue(forKey: used.id) else { preconditionFailure("a buffer that was never given") }
      let bytes = try memory.read(count: Int(used.written), at: GuestAddress(buffer.address))
      guard let packet = VsockPacket(bytes: bytes) else {
        precondition(bytes.isEmpty, "a packet is at least a header")
        continue
      }
      precondition(Int(packet.length) == bytes.count - VsockPacket.size, "the length is that of the payload")
      guard let index = models.firstIndex(where: { $0.hostPort == packet.sourcePort }), !models[index].isSpoiled else { continue }
      take(packet, Array(bytes[VsockPacket.size...]), index)
    }
  }

  private func take(_ packet: VsockPacket, _ payload: [UInt8], _ index: Int) {
    models[index].deviceForwarded = packet.forwarded
    models[index].deviceAllocation = packet.allocation
    switch packet.operation {
    case VsockPacket.Operation.response: models[index].isOpen = true
    case VsockPacket.Operation.reset: models[index].isSpoiled = true
    case VsockPacket.Operation.data:
      let model = models[index]
      for (offset, byte) in payload.enumerated() {
        precondition(byte == Self.byte(model.received + offset, model.hostPort &+ 1), "a byte of the host is wrong")
      }
      models[index].received += payload.count
      precondition(models[index].received <= models[index].allowed, "the guest got more than it has room for")
      precondition(models[index].received <= model.writtenByHost, "the guest got more than was sent")
    default: break
    }
  }

  // MARK: The host

  private func hostWrites() {
    guard let index = pick(), let end = models[index].end else { return }
    let model = models[index]
    let bytes = (0..<Int(input.word()) % 4000).map { Self.byte(model.writtenByHost + $0, model.hostPort &+ 1) }
    models[index].writtenByHost += end.sendNow(bytes)
  }

  private func hostReads() {
    guard let index = pick(), let end = models[index].end else { return }
    for _ in 0..<1 + input.choice(16) {
      let bytes = end.receiveNow(4000)
      guard !bytes.isEmpty else { return }
      guard !models[index].isSpoiled else { continue }
      let model = models[index]
      for (offset, byte) in bytes.enumerated() {
        precondition(byte == Self.byte(model.readByHost + offset, model.hostPort), "a byte of the guest is wrong")
      }
      models[index].readByHost += bytes.count
      precondition(models[index].readByHost <= model.sent, "the host got more than was sent")
    }
  }
}
