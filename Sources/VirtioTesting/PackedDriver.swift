internal import GuestMemory
public import Virtio

/// The driver's side of a packed ring (virtio 1.2, section 2.8).
public final class PackedDriver: QueueDriver {
  /// What a driver would program into the transport.
  public let configuration: QueueConfiguration
  /// Where buffers and indirect tables come from.
  public var heap: GuestHeap
  private let size: UInt16
  /// The size, or 1 where that is 0, so that positions can be counted.
  private let entries: Int
  private let usesEventIndex: Bool
  /// Positions in a ring gone round twice: the second half has a wrap counter of 0.
  private var available: Int
  private var usedSeen: Int
  private var rungAt: Int
  private var freeEntries: Int
  private var freeIDs: [UInt16]
  private var chains: [UInt16: Int] = [:]

  /// The number of requests that the device has not used yet.
  public var outstanding: Int { chains.count }

  /// Lays the ring out in the heap.
  ///
  /// - Parameters:
  ///   - size: The number of descriptors; not checked, so that a device can refuse it.
  ///   - features: The accepted bits.
  ///   - start: Where both sides begin, as after `VirtQueue.restore`, below twice the size; from `size` on the wrap counters are 0.
  public init(size: UInt16, features: UInt64, heap: GuestHeap, start: Int = 0) throws(TestingError) {
    self.heap = heap
    self.size = size
    entries = max(Int(size), 1)
    usesEventIndex = features & VirtioFeatures.eventIndex != 0
    configuration = QueueConfiguration(
      size: size, descriptorArea: GuestAddress(try self.heap.allocate(16 * UInt64(size))),
      driverArea: GuestAddress(try self.heap.allocate(4, alignment: 4)),
      deviceArea: GuestAddress(try self.heap.allocate(4, alignment: 4)))
    self.heap.keep()
    (available, usedSeen, rungAt) = (start, start, start)
    freeEntries = Int(size)
    freeIDs = (0..<size).reversed()
    let count = configuration.deviceArea.rawValue + 4 - configuration.descriptorArea.rawValue
    guard let ring = try? memory.slice(configuration.descriptorArea, count: count) else { throw .full("guest memory") }
    ring.fill(0)
    // Entries of the turns before: used, so that none seems to be available.
    for index in 0..<Int(size) {
      let wrap = index < start % entries ? start < entries : start >= entries
      try? write(RawDescriptor(address: 0, length: 0, flags: wrap ? RawDescriptor.Flag.available | RawDescriptor.Flag.used : 0), at: index)
    }
    try? wish(.next)
  }

  private func advanced(_ position: Int, _ count: Int) -> Int { (position + count) % (2 * entries) }
  private func index(_ position: Int) -> Int { position % entries }
  private func wrap(_ position: Int) -> Bool { position < entries }
  private func encoded(_ position: Int) -> UInt16 { UInt16(index(position)) | (wrap(position) ? 0x8000 : 0) }

  /// The AVAIL and USED bits that make an entry at `position` available (section 2.8.1).
  public func availableBits(_ position: Int) -> UInt16 { wrap(position) ? RawDescriptor.Flag.available : RawDescriptor.Flag.used }

  /// The next position that the driver makes available.
  public var position: Int { available }

  /// Makes buffers available, without telling the device.
  public func add(readable: [GuestBuffer], writable: [GuestBuffer], indirect: Bool) throws -> Request {
    var descriptors = table(readable: readable, writable: writable)
    if indirect {
      descriptors = [
        RawDescriptor(
          address: try writeTable(descriptors.map { RawDescriptor(address: $0.address, length: $0.length, flags: $0.flags & 2) }),
          length: 16 * UInt32(descriptors.count), flags: RawDescriptor.Flag.indirect)
      ]
    }
    guard descriptors.count <= freeEntries, !descriptors.isEmpty, let id = freeIDs.popLast() else { throw TestingError.full("the ring") }
    for place in descriptors.indices { descriptors[place].link = id }
    try publish(descriptors)
    chains[id] = descriptors.count
    freeEntries -= descriptors.count
    return Request(id: id, readable: readable, writable: writable)
  }

  /// Takes the next used element; `nil` when there is none.
  public func poll() throws -> UsedElement? {
    let entry = try memory.slice(GuestAddress(descriptorAddress(index(usedSeen))), count: 16)
    let flags = try entry.loadAcquire16(14)
    let (isAvailable, isUsed) = (flags & RawDescriptor.Flag.available != 0, flags & RawDescriptor.Flag.used != 0)
    guard isAvailable == wrap(usedSeen), isUsed == wrap(usedSeen) else { return nil }
    let (id, written): (UInt16, UInt32) = (try entry.load(12), try entry.load(8))
    guard let count = chains.removeValue(forKey: id) else { throw TestingError.badUsed("buffer ID \(id) is not the device's") }
    guard (written > 0) == (flags & RawDescriptor.Flag.write != 0) else { throw TestingError.badUsed("the write flag is wrong") }
    freeEntries += count
    freeIDs.append(id)
    usedSeen = advanced(usedSeen, count)
    return UsedElement(id: id, written: written)
  }

  /// Whether the device wants a doorbell for what was added since the last call.
  public func wantsDoorbell() throws -> Bool {
    fullMemoryFence()
    let old = rungAt
    rungAt = available
    let (event, flags) = try deviceEvent()
    let added = (available - old + 2 * entries) % (2 * entries)
    switch flags {
    case 0: return added > 0
    case 2 where usesEventIndex:
      let place = Int(event & 0x7fff) + (event & 0x8000 != 0 ? 0 : entries)
      return (place - old + 2 * entries) % (2 * entries) < added
    default: return false
    }
  }

  /// Says when interrupts are wanted.
  public func wish(_ wish: InterruptWish) throws {
    switch wish {
    case .next where !usesEventIndex: try setDriverEvent(0, flags: 0)
    case .after where !usesEventIndex: try setDriverEvent(0, flags: 0)
    case .next: try setDriverEvent(encoded(usedSeen), flags: 2)
    case .never: try setDriverEvent(0, flags: 1)
    case .after(let count): try setDriverEvent(encoded(advanced(usedSeen, Int(count))), flags: 2)
    }
    fullMemoryFence()
  }

  /// Writes a table of descriptors into the heap and returns its address.
  public func writeTable(_ descriptors: [RawDescriptor]) throws -> UInt64 {
    let address = try heap.allocate(16 * UInt64(descriptors.count))
    try memory.write(descriptors.flatMap(\.packedBytes), at: GuestAddress(address))
    return address
  }

  // MARK: What a hostile driver does

  /// Writes any values into a descriptor of the ring.
  public func write(_ descriptor: RawDescriptor, at index: Int) throws {
    try memory.write(descriptor.packedBytes, at: GuestAddress(descriptorAddress(index)))
  }

  /// Writes descriptors from the current position on, marked as available, the first one's flags last, and moves on.
  public func publish(_ descriptors: [RawDescriptor]) throws {
    for (place, descriptor) in descriptors.enumerated().reversed() {
      let position = advanced(available, place)
      var marked = descriptor
      marked.flags = descriptor.flags & 0x7f7f | availableBits(position)
      let bytes = marked.packedBytes
      try memory.write(Array(bytes[..<14]), at: GuestAddress(descriptorAddress(index(position))))
      try memory.slice(GuestAddress(descriptorAddress(index(position))), count: 16).storeRelease16(marked.flags, at: 14)
    }
    available = advanced(available, descriptors.count)
  }

  /// Writes the driver's event suppression structure.
  public func setDriverEvent(_ offsetAndWrap: UInt16, flags: UInt16) throws {
    try memory.store(offsetAndWrap, at: configuration.driverArea)
    try memory.store(flags, at: GuestAddress(configuration.driverArea.rawValue + 2))
  }

  /// The device's event suppression structure as it is now.
  public func deviceEvent() throws -> (offsetAndWrap: UInt16, flags: UInt16) {
    (try memory.load(configuration.deviceArea), try memory.load(GuestAddress(configuration.deviceArea.rawValue + 2)))
  }

  private func descriptorAddress(_ index: Int) -> UInt64 { configuration.descriptorArea.rawValue + 16 * UInt64(index) }
}
