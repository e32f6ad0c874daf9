internal import GuestMemory
public import Virtio

/// The driver's side of a split ring (virtio 1.2, section 2.7).
public final class SplitDriver: QueueDriver {
  /// What a driver would program into the transport.
  public let configuration: QueueConfiguration
  /// Where buffers and indirect tables come from.
  public var heap: GuestHeap
  private let size: UInt16
  private let usesEventIndex: Bool
  private var available: UInt16
  private var usedSeen: UInt16
  private var rungAt: UInt16
  private var free: [UInt16]
  private var chains: [UInt16: [UInt16]] = [:]

  /// The number of requests that the device has not used yet.
  public var outstanding: Int { chains.count }

  /// Lays the ring out in the heap.
  ///
  /// - Parameters:
  ///   - size: The number of descriptors; not checked, so that a device can refuse it.
  ///   - features: The accepted bits.
  ///   - start: The value that both indices begin with, as after `VirtQueue.restore`.
  public init(size: UInt16, features: UInt64, heap: GuestHeap, start: UInt16 = 0) throws(TestingError) {
    self.heap = heap
    self.size = size
    usesEventIndex = features & VirtioFeatures.eventIndex != 0
    configuration = QueueConfiguration(
      size: size, descriptorArea: GuestAddress(try self.heap.allocate(16 * UInt64(size))),
      driverArea: GuestAddress(try self.heap.allocate(6 + 2 * UInt64(size), alignment: 2)),
      deviceArea: GuestAddress(try self.heap.allocate(6 + 8 * UInt64(size), alignment: 4)))
    self.heap.keep()
    (available, usedSeen, rungAt) = (start, start, start)
    free = (0..<size).reversed()
    try clear()
  }

  private func clear() throws(TestingError) {
    let count = configuration.deviceArea.rawValue + 6 + 8 * UInt64(size) - configuration.descriptorArea.rawValue
    guard let ring = try? memory.slice(configuration.descriptorArea, count: count) else { throw .full("guest memory") }
    ring.fill(0)
    guard (try? setAvailableIndex(available)) != nil else { throw .full("guest memory") }
    try? memory.store(usedSeen, at: GuestAddress(usedAddress + 2))
    try? memory.store(usedSeen, at: GuestAddress(usedAddress + 4 + 8 * UInt64(size)))
    try? wish(.next)
  }

  private var usedAddress: UInt64 { configuration.deviceArea.rawValue }
  private var availableAddress: UInt64 { configuration.driverArea.rawValue }

  /// Makes buffers available, without telling the device.
  public func add(readable: [GuestBuffer], writable: [GuestBuffer], indirect: Bool) throws -> Request {
    var descriptors = table(readable: readable, writable: writable)
    if indirect {
      descriptors = [
        RawDescriptor(
          address: try writeTable(descriptors), length: 16 * UInt32(descriptors.count), flags: RawDescriptor.Flag.indirect)
      ]
    }
    guard descriptors.count <= free.count, !descriptors.isEmpty else { throw TestingError.full("the ring") }
    let indices = descriptors.map { _ in free.removeLast() }
    for (place, descriptor) in descriptors.enumerated() {
      var linked = descriptor
      if place + 1 < indices.count { linked.link = indices[place + 1] }
      try write(linked, at: Int(indices[place]))
    }
    chains[indices[0]] = indices
    try publish(indices[0])
    return Request(id: indices[0], readable: readable, writable: writable)
  }

  /// Takes the next used element; `nil` when there is none.
  public func poll() throws -> UsedElement? {
    let used = try memory.slice(configuration.deviceArea, count: 4 + 8 * UInt64(size))
    let index = try used.loadAcquire16(2)
    guard index != usedSeen else { return nil }
    guard index &- usedSeen <= size else { throw TestingError.badUsed("the index went from \(usedSeen) to \(index)") }
    let offset = 4 + 8 * Int(usedSeen % size)
    let (id, written): (UInt32, UInt32) = (try used.load(offset), try used.load(offset + 4))
    guard let indices = chains.removeValue(forKey: UInt16(truncatingIfNeeded: id)), id < UInt32(size) else {
      throw TestingError.badUsed("descriptor \(id) is not the device's")
    }
    free += indices
    usedSeen &+= 1
    return UsedElement(id: UInt16(id), written: written)
  }

  /// Whether the device wants a doorbell for what was added since the last call.
  public func wantsDoorbell() throws -> Bool {
    fullMemoryFence()
    let old = rungAt
    rungAt = available
    guard usesEventIndex else { return try memory.load(GuestAddress(usedAddress), as: UInt16.self) & 1 == 0 && available != old }
    let event: UInt16 = try memory.load(GuestAddress(usedAddress + 4 + 8 * UInt64(size)))
    return available &- event &- 1 < available &- old
  }

  /// Says when interrupts are wanted.
  public func wish(_ wish: InterruptWish) throws {
    let flags: UInt16
    let event: UInt16
    switch wish {
    case .next: (flags, event) = (0, usedSeen)
    case .never: (flags, event) = (usesEventIndex ? 0 : 1, usedSeen &- 1)
    case .after(let count): (flags, event) = (0, usedSeen &+ count)
    }
    try setAvailableFlags(flags)
    if usesEventIndex { try setUsedEvent(event) }
    fullMemoryFence()
  }

  /// Writes a table of descriptors into the heap and returns its address.
  public func writeTable(_ descriptors: [RawDescriptor]) throws -> UInt64 {
    let address = try heap.allocate(16 * UInt64(descriptors.count))
    try memory.write(descriptors.flatMap(\.splitBytes), at: GuestAddress(address))
    return address
  }

  // MARK: What a hostile driver does

  /// Writes any values into a descriptor of the ring.
  public func write(_ descriptor: RawDescriptor, at index: Int) throws {
    try memory.write(descriptor.splitBytes, at: GuestAddress(configuration.descriptorArea.rawValue + 16 * UInt64(index)))
  }

  /// Puts a head into the available ring and moves the index on; any value.
  public func publish(_ head: UInt16) throws {
    try setAvailableEntry(Int(available % max(size, 1)), head)
    available &+= 1
    try setAvailableIndex(available)
  }

  /// Writes the available ring's index.
  public func setAvailableIndex(_ index: UInt16) throws {
    try memory.slice(configuration.driverArea, count: 4).storeRelease16(index, at: 2)
  }

  /// Writes an entry of the available ring.
  public func setAvailableEntry(_ slot: Int, _ head: UInt16) throws {
    try memory.store(head, at: GuestAddress(availableAddress + 4 + 2 * UInt64(slot)))
  }

  /// Writes the available ring's flags.
  public func setAvailableFlags(_ flags: UInt16) throws { try memory.store(flags, at: GuestAddress(availableAddress)) }

  /// Writes the index at which the driver wants an interrupt.
  public func setUsedEvent(_ event: UInt16) throws { try memory.store(event, at: GuestAddress(availableAddress + 4 + 2 * UInt64(size))) }

  /// The used ring's flags, index and event index as they are now.
  public func usedRing() throws -> (flags: UInt16, index: UInt16, availableEvent: UInt16) {
    (
      try memory.load(GuestAddress(usedAddress)), try memory.load(GuestAddress(usedAddress + 2)),
      try memory.load(GuestAddress(usedAddress + 4 + 8 * UInt64(size)))
    )
  }
}
