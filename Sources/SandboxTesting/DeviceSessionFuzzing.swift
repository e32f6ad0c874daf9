internal import Bus
internal import Interrupts
internal import Logging
internal import PCI
internal import Platform
internal import Sandbox
internal import VirtioTesting

/// Lets the bytes play both a guest and a hostile device's process, with the VMM between them, and checks what the VMM promises.
///
/// The bytes choose how the device begins, then accesses of the guest and packets of the device in any order: answers that are right, late or
/// to nothing, needs that the VMM may serve and those that it must not, and nonsense. Nobody waits: an answer that is not there when the guest
/// asks is late. A broken promise ends the process. The same bytes do the same always.
public func fuzzDeviceSession(_ bytes: [UInt8]) {
  var input = FuzzInput(bytes)
  let session: DeviceSession
  do {
    guard let made = try DeviceSession(&input) else { return }
    session = made
  } catch { preconditionFailure("a session can always be made: \(error)") }
  for _ in 0..<256 where !input.isEmpty {
    session.step(&input)
    session.check()
  }
  session.finish()
}

/// A machine with one device in another process, which is played too.
private final class DeviceSession {
  private let peer: SessionPeer
  private let proxy: DeviceProxy
  private let plug: ObservedDevice
  private let machine: SessionMachine
  private let root: PCIRoot
  private let slot: Int
  private var view: BusView
  private var events: [EventFD]

  /// `nil` where the bytes make a device that no machine takes.
  init?(_ input: inout FuzzInput) throws {
    let choices = input.byte()
    let (ours, theirs) = try PacketSocket.pair()
    peer = SessionPeer(theirs)
    events = [try EventFD(), try EventFD()]
    machine = try SessionMachine(hasVectors: choices & 2 != 0)
    var patience = DeviceChannel.Patience()
    patience.access = 0
    patience.suspension = 0
    let channel = DeviceChannel(name: "fuzzed", connection: ours, logger: silent, patience: patience)
    peer.begin(isGood: choices & 1 != 0, &input)
    guard case .ready(let bars)? = try? channel.waitUntilReady(milliseconds: 0) else { return nil }
    precondition(bars.count <= 6, "a function has six registers")
    proxy = DeviceProxy(
      name: "fuzzed", bars: bars, channel: channel,
      machine: MachineServices(doorbells: choices & 4 != 0 ? nil : machine.doorbells, messages: machine))
    plug = ObservedDevice(proxy)
    root = PCIRoot(memory: machine.addresses, ports: Bus(), windows: machine.windows, logger: silent)
    guard let slot = try? root.add(plug) else { return nil }
    self.slot = slot
    view = BusView(machine.addresses)
    peer.drain(atMost: 1000)
    // Most guests let the device decode first, and most devices do so.
    if choices & 8 != 0, let bar = bars.first {
      peer.send(.need(.decode(bar: UInt8(bar.index), base: SessionMachine.window)))
      peer.answer(0)
      proxy.writeConfiguration(offset: 4, width: 2, value: 6)
      peer.drain()
    }
  }

  // MARK: What the bytes may choose

  func step(_ input: inout FuzzInput) {
    switch input.choice(16) {
    case 0, 1: peer.answer(input.long(), late: input.byte() == 1)
    case 2: peer.send(wrongAnswer(&input))
    case 3: peer.send(.need(.decode(bar: UInt8(input.choice(8)), base: input.byte() == 1 ? nil : address(&input))))
    case 4: peer.send(.need(.attachDoorbell(address: address(&input))), descriptors: descriptors(&input))
    case 5: peer.send(.need(.detachDoorbell(address: address(&input))), descriptors: descriptors(&input))
    case 6: for _ in 0...input.choice(64) { peer.send(.need(.makeMessageInterrupt)) }
    case 7:
      let message = InterruptMessage(address: input.long(), data: UInt32(input.word()))
      peer.send(.need(.route(vector: input.flag() ? UInt32(input.byte()) : .max - UInt32(input.byte()), message)))
    case 8: peer.sendRaw((0..<input.choice(64)).map { _ in input.byte() }, descriptors: descriptors(&input))
    case 9: peer.sendRaw(tampered(&input), descriptors: descriptors(&input))
    case 10: if input.byte() == 0xff { peer.close() }
    default: visit(&input)
    }
  }

  /// What a guest, a user or the machine does.
  private func visit(_ input: inout FuzzInput) {
    switch input.choice(8) {
    case 0: expect(UInt64(proxy.readConfiguration(offset: Int(input.word()), width: input.choice(4) + 1)), isNarrow: true)
    case 1: proxy.writeConfiguration(offset: Int(input.word()), width: input.choice(4) + 1, value: UInt32(truncatingIfNeeded: input.long()))
    case 2, 3:
      let address = address(&input)
      let isNeighbour = machine.neighbour.range.contains(address, width: 1)
      let value = view.read(address, width: input.choice(8) + 1)
      if isNeighbour { precondition(value == SessionMachine.Neighbour.value || value == .max, "another device's range stays its own") }
      if !isNeighbour { expect(value) }
    case 4: view.write(address(&input), width: input.choice(8) + 1, value: input.long())
    case 5: _ = try? proxy.perform([input.byte()])
    case 6: _ = proxy.holdStill()
    default: proxy.goOn()
    }
    peer.drain()
  }

  /// All ones, or what the device answered to this very request.
  private func expect(_ value: UInt64, isNarrow: Bool = false) {
    peer.drain()
    let nothing = isNarrow ? UInt64(UInt32.max) : .max
    guard value != nothing else { return }
    let answers = peer.request.flatMap { peer.answers[$0] } ?? []
    precondition(answers.contains { isNarrow ? $0 & nothing == value : $0 == value }, "an answer belongs to its request")
  }

  private func wrongAnswer(_ input: inout FuzzInput) -> DeviceMessage {
    let number = peer.lastNumber &+ UInt32(input.byte()) &- 128
    switch input.choice(4) {
    case 0:
      let value = input.long()
      peer.answers[number, default: []].append(value)
      return .value(value, number: number)
    case 1: return .bytes([input.byte()], number: number)
    case 2: return .refused("no", number: number)
    default: return input.flag() ? .ready(proxy.bars) : .failed("no")
    }
  }

  /// A good message with a byte changed, or cut short, or too long.
  private func tampered(_ input: inout FuzzInput) -> [UInt8] {
    let messages = DeviceMessageSeeds.messages
    var bytes = messages[input.choice(messages.count)].encoded
    switch input.choice(3) {
    case 0: bytes[input.choice(bytes.count)] = input.byte()
    case 1: bytes.removeLast(input.choice(bytes.count))
    default: bytes.append(input.byte())
    }
    return bytes
  }

  /// Near the borders of the window, of the neighbour, in one of the device's ranges, or anywhere.
  private func address(_ input: inout FuzzInput) -> UInt64 {
    let offset = UInt64(input.byte()) << 12
    switch input.choice(6) {
    case 0, 1: return SessionMachine.window + offset
    case 2: return plug.recorder.map { $0.ranges.values.map(\.base).min() ?? 0 }.map { $0 &+ UInt64(input.word()) } ?? offset
    case 3: return machine.neighbour.range.base &+ offset &- 0x10000
    case 4: return 0 &- offset &- UInt64(input.byte())
    default: return input.long()
    }
  }

  private func descriptors(_ input: inout FuzzInput) -> [Int32] { (0..<input.choice(4)).map { events[$0 % events.count].number } }

  // MARK: What holds at all times

  func check() {
    precondition(machine.doorbells.events.count <= 256 && machine.vectorCount <= 256, "not more events than a device may have")
    let ranges = plug.recorder?.ranges.values.map { $0 } ?? []
    for address in machine.doorbells.events.keys {
      precondition(ranges.contains { $0.contains(address, width: 2) }, "doorbells are where the device answers")
    }
    for range in ranges { precondition(!range.overlaps(machine.neighbour.range), "another device's range stays its own") }
  }

  /// Ends the device: nothing of it is left.
  func finish() {
    proxy.stop(within: 0)
    check()
    precondition(machine.doorbells.events.isEmpty, "no doorbells at the end")
    precondition((try? root.remove(slot: slot)) != nil, "a device can be unplugged")
    for range in plug.recorder?.ranges.values.map({ $0 }) ?? [] {
      precondition(view.read(range.base, width: 1) == .max, "nothing answers at the end")
    }
  }
}

/// The process at the other end.
private final class SessionPeer {
  private var connection: PacketSocket?
  /// The number of the last request that came.
  private(set) var lastNumber: UInt32 = 0
  /// The request of the last access, unless the VMM sent none.
  private(set) var request: UInt32?
  /// The values that were sent, by the number that went with them.
  var answers: [UInt32: [UInt64]] = [:]

  init(_ connection: PacketSocket) { self.connection = connection }

  /// Sends what the VMM waits for first, and answers to what the bus asks of a new device.
  func begin(isGood: Bool, _ input: inout FuzzInput) {
    if isGood, let bar = try? BAR(index: 0, kind: .memory32, size: 0x8000) {
      send(.ready([bar]))
      // The address of the register, the interrupt's pin, and its line.
      for value in [0, 1, 0] as [UInt64] { answer(value) }
    } else {
      sendRaw([0] + (0..<input.choice(80)).map { _ in input.byte() }, descriptors: [])
    }
  }

  func sendRaw(_ bytes: [UInt8], descriptors: [Int32]) {
    // A full connection takes no more.
    try? connection?.send(bytes, descriptors: descriptors, mayWait: false)
  }

  func send(_ message: DeviceMessage, descriptors: [Int32] = []) { sendRaw(message.encoded, descriptors: descriptors) }

  /// Answers the next request, before it comes, or the last one.
  func answer(_ value: UInt64, late: Bool = false) {
    let number = late ? lastNumber : lastNumber &+ 1 &+ UInt32(pending)
    if !late { pending += 1 }
    answers[number, default: []].append(value)
    send(.value(value, number: number))
  }

  /// The answers that wait for their request.
  private var pending = 0

  func close() { connection = nil }

  /// Takes all that the VMM sent, which is never nonsense.
  ///
  /// - Parameter limit: The most requests that there can be: one an access, and one before it that tells the device that it shall go on.
  func drain(atMost limit: Int = 2) {
    var count = 0
    request = nil
    pending = 0
    while case .packet(let packet)? = try? connection?.receive(milliseconds: 0) {
      if packet.bytes.first == 0x80 {
        precondition((try? HostAnswer(packet.bytes)) != nil && packet.descriptors.count <= 1, "the VMM answers in good order")
      } else {
        guard let (_, number) = try? DeviceRequest.decode(packet.bytes) else { preconditionFailure("the VMM asks in good order") }
        count += 1
        precondition(number == lastNumber &+ 1 && count <= limit && packet.descriptors.isEmpty, "one request at a time")
        (request, lastNumber) = (number, number)
      }
    }
  }
}

/// A device as its proxy is, with a host that is watched.
private final class ObservedDevice: PCIDevice, @unchecked Sendable {
  private let proxy: DeviceProxy
  private(set) var recorder: RecordingHost?

  init(_ proxy: DeviceProxy) { self.proxy = proxy }

  var name: String { proxy.name }
  var bars: [BAR] { proxy.bars }

  func connect(_ host: any BARHost) {
    let recorder = RecordingHost(host, bars: bars)
    self.recorder = recorder
    proxy.connect(recorder)
  }

  func busDevice(forBAR index: Int) -> any BusDevice { proxy.busDevice(forBAR: index) }
  func readConfiguration(offset: Int, width: Int) -> UInt32 { proxy.readConfiguration(offset: offset, width: width) }
  func writeConfiguration(offset: Int, width: Int, value: UInt32) {
    proxy.writeConfiguration(offset: offset, width: width, value: value)
  }
}

/// Notes where a device answers.
private final class RecordingHost: BARHost, @unchecked Sendable {
  private let host: any BARHost
  private let bars: [BAR]
  private(set) var ranges: [Int: BusRange] = [:]

  init(_ host: any BARHost, bars: [BAR]) {
    self.host = host
    self.bars = bars
  }

  func decode(bar index: Int, at base: UInt64?) -> Bool {
    let isPlaced = host.decode(bar: index, at: base)
    guard let bar = bars.first(where: { $0.index == index }) else { preconditionFailure("only registers of the device are moved") }
    ranges[index] = isPlaced ? base.flatMap { BusRange(base: $0, length: bar.size) } : nil
    return isPlaced
  }
}

/// The machine around the device, with a neighbour on its bus.
private final class SessionMachine: MessageInterruptAllocator, @unchecked Sendable {
  struct Trouble: Error {}

  static let window: UInt64 = 0xd000_0000

  final class Neighbour: BusDevice {
    static let value: UInt64 = 0x5a
    let range: BusRange
    init(range: BusRange) { self.range = range }
    func read(offset: UInt64, width: Int) -> UInt64 { Self.value }
    func write(offset: UInt64, width: Int, value: UInt64) {}
  }

  let addresses = Bus()
  let doorbells = SessionDoorbells()
  let windows: PCIWindows
  let neighbour: Neighbour
  private let hasVectors: Bool
  private(set) var vectorCount = 0

  init(hasVectors: Bool) throws {
    self.hasVectors = hasVectors
    guard let window = BusRange(base: Self.window, length: 1 << 20), let high = BusRange(base: 1 << 36, length: 1 << 36),
      let ports = BusRange(base: 0xc000, length: 0x1000), let taken = BusRange(base: Self.window + 0x8_0000, length: 0x1000)
    else { throw Trouble() }
    windows = PCIWindows(memory32: window, memory64: high, ports: ports)
    neighbour = Neighbour(range: taken)
    try addresses.insert(neighbour, at: taken)
  }

  func makeMessageInterrupt() throws -> any MessageInterrupt {
    guard hasVectors else { throw Trouble() }
    vectorCount += 1
    return try Message()
  }

  private final class Message: MessageInterrupt {
    let event: EventFD
    init() throws { event = try EventFD() }
    func route(_ message: InterruptMessage) throws { if message.address == 0 { throw Trouble() } }
  }
}

/// Doorbells as the kernel keeps them: no two at one address.
private final class SessionDoorbells: DoorbellRegistrar, @unchecked Sendable {
  private(set) var events: [UInt64: Int32] = [:]

  func attach(event: Int32, at address: UInt64) throws {
    guard events[address] == nil, event >= 0 else { throw SessionMachine.Trouble() }
    events[address] = event
  }

  func detach(event: Int32, at address: UInt64) throws {
    precondition(events[address] == event, "only what is attached is detached")
    events[address] = nil
  }
}

/// Hostile devices make the VMM talk.
private let silent = Logger(label: "fuzzed") { _ in SwiftLogNoOpLogHandler() }

/// What the fuzzing of sessions begins with.
public enum DeviceSessionSeeds {
  /// A device that starts, answers, moves, attaches doorbells and vectors, is read and written, answers late, and stops.
  public static let sessions: [[UInt8]] = [0x0b, 0x0f, 0x09].map { (choices: UInt8) in
    let value: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
    // At the window's first pages, then where the device is.
    let (moved, doorbell): ([UInt8], [UInt8]) = ([0x10, 0], [0, 2, 0, 0x30])
    var bytes = [choices]
    bytes += [4] + doorbell + [1] + [0] + value + [0, 15, 2] + [0, 2, 0, 0, 3]
    bytes += [6, 2] + [7] + value + [0x31, 0x40, 1, 0] + [0] + value + [0, 15, 1, 4, 0, 1] + value
    bytes += [3, 0, 0] + moved + [0] + value + [0, 15, 4] + [0x10, 0, 3] + value
    bytes += [15, 2, 0, 2, 0, 0, 3] + [0] + value + [1] + [0] + value + [0, 15, 0, 4, 0, 3]
    bytes += [5] + doorbell + [0] + [0] + value + [0, 15, 6] + [15, 7] + [15, 5, 1]
    return bytes
  }
}
