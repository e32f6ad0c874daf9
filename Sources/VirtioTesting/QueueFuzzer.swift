internal import GuestMemory
internal import Platform
internal import Virtio

/// Lets the bytes play a driver against a queue, and checks what the queue promises.
///
/// The bytes choose the ring's format, size and features, then good and hostile acts in any order: requests, raw descriptors, indices, tables,
/// flags, event indices; and what the device does: take, read, write, complete, put back, save and restore. A broken promise ends the process.
/// The same bytes do the same always. The work is bounded by a small multiple of the number of bytes and of the queue's size.
public func fuzzQueue(_ bytes: [UInt8]) {
  var input = FuzzInput(bytes)
  guard var session = FuzzSession(&input) else { return }
  for _ in 0..<256 where !input.isEmpty { session.step(&input) }
  session.finish()
}

/// A queue between a driver and a device that both do what the bytes say.
private struct FuzzSession {
  static let lowEnd: UInt64 = 256 << 10
  static let highBase: UInt64 = 1 << 20

  let memory: GuestMemory
  let size: UInt16
  let features: UInt64
  let interrupt: FakeInterrupt
  let driver: any QueueDriver
  let queue: VirtQueue
  var chain: DescriptorChain
  var held: Set<UInt16> = []

  init?(_ input: inout FuzzInput) {
    let choices = input.byte()
    let isPacked = choices & 1 != 0
    chain = DescriptorChain(admitsUnreachable: choices & 32 != 0)
    size = isPacked ? UInt16(input.byte()) + 1 : 1 << UInt16(input.choice(9))
    features =
      VirtioFeatures.version1 | (isPacked ? VirtioFeatures.packedRing : 0) | (choices & 2 != 0 ? VirtioFeatures.indirectDescriptors : 0)
      | (choices & 4 != 0 ? VirtioFeatures.eventIndex : 0)
    guard
      let memory = try? GuestMemory(
        regions: [(GuestAddress(0), Self.lowEnd), (GuestAddress(Self.highBase), 64 << 10)], tracksWrites: choices & 8 != 0),
      let interrupt = try? FakeInterrupt(), let doorbell = try? EventFD()
    else { return nil }
    (self.memory, self.interrupt) = (memory, interrupt)
    let heap = GuestHeap(memory, base: 0x1000, count: Self.lowEnd - 0x1000)
    if isPacked {
      guard let made = try? PackedDriver(size: size, features: features, heap: heap) else { return nil }
      driver = made
    } else {
      guard let made = try? SplitDriver(size: size, features: features, heap: heap) else { return nil }
      driver = made
    }
    var configuration = driver.configuration
    if choices & 16 != 0 { Self.distort(&configuration, &input) }
    guard
      let queue = try? VirtQueue(
        index: 0, configuration: configuration, memory: memory, features: features, doorbell: doorbell, interrupt: interrupt)
    else { return nil }
    self.queue = queue
  }

  /// Puts any value into one of the registers.
  static func distort(_ configuration: inout QueueConfiguration, _ input: inout FuzzInput) {
    switch input.choice(5) {
    case 0: configuration.size = input.word()
    case 1: configuration.descriptorArea = GuestAddress(address(&input))
    case 2: configuration.driverArea = GuestAddress(address(&input))
    case 3: configuration.deviceArea = GuestAddress(address(&input))
    default: configuration.maximumSize = input.word()
    }
  }

  /// An address: near the borders of guest memory, inside it, or any.
  static func address(_ input: inout FuzzInput) -> UInt64 {
    let near = UInt64(input.byte())
    switch input.choice(6) {
    case 0: return lowEnd &- near
    case 1: return highBase &+ (64 << 10) &- near
    case 2: return highBase &- near
    case 3: return 0 &- near
    case 4: return input.long()
    default: return UInt64(input.word()) << 2
    }
  }

  static func descriptor(_ input: inout FuzzInput) -> RawDescriptor {
    let length = [UInt32(input.byte()), UInt32(input.word()) << 4, UInt32(truncatingIfNeeded: input.long())][input.choice(3)]
    return RawDescriptor(
      address: address(&input), length: length, flags: input.flag() ? input.word() : UInt16(input.byte() & 7), link: UInt16(input.byte()))
  }

  mutating func step(_ input: inout FuzzInput) {
    switch input.choice(12) {
    case 0, 1: addGood(&input)
    case 2: try? driver.write(Self.descriptor(&input), at: Int(input.byte()) % Int(size))
    case 3: publish(&input)
    case 4: addTable(&input)
    case 5: writeIndices(&input)
    case 6, 7: drain(&input)
    case 8: complete(&input)
    case 9: notify(&input)
    case 10: saveAndRestore(&input)
    default: _ = try? driver.poll()
    }
  }

  // MARK: The driver

  private func addGood(_ input: inout FuzzInput) {
    let readable = (0..<input.choice(4)).map { _ in [UInt8](repeating: 0x5a, count: input.choice(40) + 1) }
    let writable = (0..<input.choice(4)).map { _ in input.choice(40) + 1 }
    _ = try? driver.submit(readable: readable, writable: writable, indirect: input.flag())
  }

  private func publish(_ input: inout FuzzInput) {
    if let split = driver as? SplitDriver { try? split.publish(input.flag() ? input.word() : UInt16(input.byte())) }
    if let packed = driver as? PackedDriver {
      let count = min(input.choice(4) + 1, Int(size))
      try? packed.publish((0..<count).map { _ in Self.descriptor(&input) })
    }
  }

  private func addTable(_ input: inout FuzzInput) {
    let descriptors = (0..<input.choice(6)).map { _ in Self.descriptor(&input) }
    guard let table = try? driver.writeTable(descriptors) else { return }
    let length = 16 * UInt32(descriptors.count) &+ (input.flag() ? UInt32(input.byte()) : 0)
    let flags = RawDescriptor.Flag.indirect | (input.byte() == 7 ? RawDescriptor.Flag.next : 0)
    let indirect = RawDescriptor(address: table, length: length, flags: flags, link: UInt16(input.byte()))
    if let packed = driver as? PackedDriver {
      try? packed.publish([indirect])
      return
    }
    let head = Int(input.byte()) % Int(size)
    try? driver.write(indirect, at: head)
    try? (driver as? SplitDriver)?.publish(UInt16(head))
  }

  private func writeIndices(_ input: inout FuzzInput) {
    if let split = driver as? SplitDriver {
      switch input.choice(4) {
      case 0: try? split.setAvailableIndex(input.word())
      case 1: try? split.setAvailableEntry(Int(input.byte()) % Int(size), input.word())
      case 2: try? split.setAvailableFlags(input.word())
      default: try? split.setUsedEvent(input.word())
      }
    }
    if let packed = driver as? PackedDriver { try? packed.setDriverEvent(input.word(), flags: input.word()) }
  }

  // MARK: The device

  private mutating func drain(_ input: inout FuzzInput) {
    for _ in 0...input.choice(8) {
      do {
        guard try queue.next(into: &chain) else { return }
      } catch {
        precondition(queue.isBroken && chain.readable.isEmpty && chain.writable.isEmpty, "a refused chain leaves nothing")
        _ = error.description
        return
      }
      check()
      held.insert(chain.id)
      use(&input)
    }
  }

  /// What holds for every chain that a queue gives away.
  private func check() {
    precondition(!held.contains(chain.id), "a chain in flight is not taken again")
    precondition(chain.id < queue.size && held.count < Int(queue.size), "not more chains in flight than the queue's size")
    let count = chain.readable.count + chain.writable.count
    precondition((count > 0 || chain.isCut) && count <= Int(queue.size), "no more buffers than the queue's size")
    for direction in [DescriptorChain.Direction.readable, .writable] {
      let buffers = chain.buffers(direction)
      precondition(!buffers.contains { $0.count == 0 }, "no empty buffer")
      precondition(buffers.reduce(0) { $0 + UInt64($1.count) } == chain.byteCount(direction), "the total is the sum")
    }
  }

  private mutating func use(_ input: inout FuzzInput) {
    var reader = ChainReader(chain)
    var writer = ChainWriter(chain)
    let wasLong = reader.remaining >= 8
    precondition(((try? reader.read(UInt64.self)) != nil) == wasLong, "an integer is read exactly where it fits")
    _ = try? reader.readBytes(Int(input.byte()))
    try? writer.skip(UInt64(input.byte()))
    try? writer.write(integer: input.word())
    try? writer.fill(0xa5, count: min(writer.remaining, 64))
    var pieces: [GuestSlice] = []
    let (offset, count) = (UInt64(input.byte()), UInt64(input.byte()))
    let fits = offset + count <= chain.writableBytes
    let gathered = (try? chain.slices(from: offset, count: count, of: .writable, into: &pieces)) != nil
    precondition(gathered == fits && pieces.reduce(0) { $0 + UInt64($1.count) } == (fits ? count : 0), "pieces add up")
    switch input.choice(4) {
    case 0: break
    case 1:
      precondition(queue.putBack(chain.id), "the chain taken last can be put back")
      held.remove(chain.id)
    default:
      precondition(queue.complete(chain.id, written: writer.written), "a chain in flight can be completed")
      held.remove(chain.id)
    }
  }

  private mutating func complete(_ input: inout FuzzInput) {
    let id = input.flag() ? input.word() : (held.min() ?? 0)
    precondition(queue.complete(id, written: UInt32(input.byte())) == (held.remove(id) != nil), "only chains in flight are completed")
  }

  private func notify(_ input: inout FuzzInput) {
    switch input.choice(3) {
    case 0: queue.notify()
    case 1: queue.disableNotifications()
    default: _ = try? queue.enableNotifications()
    }
  }

  private mutating func saveAndRestore(_ input: inout FuzzInput) {
    let state = queue.state
    guard let copy = try? QueueState(encoded: state.encoded), copy == state else { preconditionFailure("a state survives its encoding") }
    if input.flag() {
      let other = QueueState(
        nextAvailable: input.word(), nextUsed: input.word(), availableWrap: input.flag(), usedWrap: input.flag())
      if (try? queue.restore(other)) != nil { held = [] }
    } else if held.isEmpty {
      precondition((try? queue.restore(state)) != nil, "a queue at rest can be restored")
    }
  }

  /// Ends all requests: nothing is left in flight.
  mutating func finish() {
    for id in held.sorted() { precondition(queue.complete(id, written: 0), "a chain in flight can be completed") }
    queue.notify()
    _ = memory.takeDirtyPages(regionIndex: 0)
  }
}
