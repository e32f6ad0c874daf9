internal import GuestMemory

/// The device's side of a split ring (virtio 1.2, section 2.7).
final class SplitRing: Ring {
  /// Offsets and flags of the available and used rings (sections 2.7.6 and 2.7.8).
  private enum Layout {
    static let flags = 0
    static let index = 2
    static let ring = 4
    static let noInterrupt: UInt16 = 1
    static let noNotify: UInt16 = 1
  }

  private let context: RingContext
  private let mask: UInt16
  private var nextAvailable: UInt16 = 0
  private var nextUsed: UInt16 = 0
  /// The driver's index when last looked at: entries before it need no further look.
  private var seenAvailable: UInt16 = 0
  /// Entries used since the driver's wishes were last asked, never above 65536.
  private var unsignalled = 0
  private var mustSignal = false
  /// Elements written behind `nextUsed` that the driver does not see yet.
  private var staged: UInt16 = 0
  private var inFlight: InFlightTable

  init(_ context: RingContext) {
    self.context = context
    mask = context.size &- 1
    inFlight = InFlightTable(size: context.size)
  }

  var state: QueueState { QueueState(nextAvailable: nextAvailable, nextUsed: nextUsed) }

  func restore(_ state: QueueState) throws(QueueError) {
    guard state.nextAvailable == state.nextUsed else {
      throw .badState("\(state.nextAvailable &- state.nextUsed) requests of a split ring were in flight")
    }
    nextAvailable = state.nextAvailable
    nextUsed = state.nextUsed
    seenAvailable = nextAvailable
    unsignalled = 0
    mustSignal = true
    inFlight = InFlightTable(size: context.size)
    staged = 0
  }

  var hasNext: Bool { context.driver.load16(Layout.index) != nextAvailable }

  func next(into chain: inout DescriptorChain) throws(QueueError) -> Bool {
    guard try hasAvailable() else { return false }
    let head = context.driver.load16(Layout.ring + 2 * Int(nextAvailable & mask))
    guard head < context.size else { throw .badDescriptorIndex(UInt32(head), entries: UInt32(context.size)) }
    guard !inFlight.contains(head) else { throw .alreadyInFlight(head) }
    chain.clear(id: head)
    try walk(from: head, into: &chain)
    nextAvailable &+= 1
    inFlight.insert(head, entries: 1)
    return true
  }

  /// Whether there is an entry to take; looks at the driver's index only when all entries seen before are taken.
  private func hasAvailable() throws(QueueError) -> Bool {
    if nextAvailable != seenAvailable { return true }
    // Acquire: entries and descriptors before the index were written before it (section 2.7.13.3).
    let index = context.driver.load16(Layout.index)
    guard index &- nextAvailable <= context.size else {
      throw .indexJump(from: nextAvailable, to: index, size: context.size)
    }
    seenAvailable = index
    return index != nextAvailable
  }

  private func walk(from head: UInt16, into chain: inout DescriptorChain) throws(QueueError) {
    var index = head
    while true {
      let descriptor = Descriptor(split: context.descriptors.copy16Bytes(Descriptor.size * Int(index)))
      if descriptor.has(Descriptor.Flag.indirect) { return try walkTable(descriptor, into: &chain) }
      try chain.append(descriptor, in: context.memory, limit: Int(context.size))
      guard descriptor.has(Descriptor.Flag.next) else { return }
      index = descriptor.link
      guard index < context.size else { throw .badDescriptorIndex(UInt32(index), entries: UInt32(context.size)) }
    }
  }

  /// Follows the chain inside an indirect table, which begins at its first entry (section 2.7.5.3).
  private func walkTable(_ indirect: Descriptor, into chain: inout DescriptorChain) throws(QueueError) {
    let (table, entries) = try context.indirectTable(indirect)
    var index = 0
    while true {
      let descriptor = Descriptor(split: table.copy16Bytes(Descriptor.size * index))
      guard !descriptor.has(Descriptor.Flag.indirect) else { throw .badIndirect("is inside an indirect table") }
      try chain.append(descriptor, in: context.memory, limit: Int(context.size))
      guard descriptor.has(Descriptor.Flag.next) else { return }
      index = Int(descriptor.link)
      guard index < entries else { throw .badDescriptorIndex(UInt32(index), entries: UInt32(entries)) }
    }
  }

  func putBack(_ id: UInt16) -> Bool {
    guard inFlight.putBack(id) != nil else { return false }
    nextAvailable &-= 1
    return true
  }

  func stage(_ id: UInt16, written: UInt32) -> Bool {
    guard inFlight.remove(id) != nil else { return false }
    context.device.store64(UInt64(id) | UInt64(written) << 32, at: Layout.ring + 8 * Int((nextUsed &+ staged) & mask))
    // At most as many as are in flight: no more than the size.
    staged &+= 1
    return true
  }

  func publish() {
    guard staged > 0 else { return }
    nextUsed &+= staged
    unsignalled = min(unsignalled + Int(staged), 1 << 16)
    staged = 0
    // Release: who sees the index sees the elements and the data (section 2.7.8.2).
    context.device.store16(nextUsed, at: Layout.index)
  }

  func takeSignal() -> Bool {
    guard unsignalled > 0 || mustSignal else { return false }
    let count = unsignalled
    let forced = mustSignal
    unsignalled = 0
    mustSignal = false
    // Our index must be visible before the driver's wishes are read, or both sides could miss each other.
    fullMemoryFence()
    if forced { return true }
    guard context.usesEventIndex else { return context.driver.load16(Layout.flags) & Layout.noInterrupt == 0 }
    let event = context.driver.load16(Layout.ring + 2 * Int(context.size))
    // Whether the entry `event` is among the last `count` ones, counting modulo 2^16 (section 2.7.7.2).
    return Int(nextUsed &- event &- 1) < count
  }

  func disableNotifications() {
    // With event indices an old one is enough: the driver passes it only once in 65536 entries.
    if !context.usesEventIndex { context.device.store16(Layout.noNotify, at: Layout.flags) }
  }

  func enableNotifications() throws(QueueError) -> Bool {
    if context.usesEventIndex {
      context.device.store16(nextAvailable, at: Layout.ring + 8 * Int(context.size))
    } else {
      context.device.store16(0, at: Layout.flags)
    }
    // Our wish must be visible before the driver's index is read (section 2.7.10.1).
    fullMemoryFence()
    return try hasAvailable()
  }
}
