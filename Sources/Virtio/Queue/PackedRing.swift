internal import GuestMemory

/// The device's side of a packed ring (virtio 1.2, section 2.8).
final class PackedRing: Ring {
  /// The event suppression structures (section 2.8.14) and where a descriptor has its flags.
  private enum Layout {
    static let descriptorFlags = 14
    static let eventOffset = 0
    static let eventFlags = 2
    static let enable: UInt16 = 0
    static let disable: UInt16 = 1
    static let atDescriptor: UInt16 = 2
  }

  /// A place in the ring and how often, odd or even, the ring has been gone round (section 2.8.1).
  private struct Position {
    var index: UInt16
    var wrap: Bool

    /// The place `count` entries on; `count` is at most `size`.
    func advanced(by count: Int, size: UInt16) -> Position {
      let sum = Int(index) + count
      // Fits: the sum is below 2 * size, so both branches are below `size`, which is at most 32768.
      return sum < Int(size) ? Position(index: UInt16(sum), wrap: wrap) : Position(index: UInt16(sum - Int(size)), wrap: !wrap)
    }

    /// The place `count` entries back; `count` is at most `size`.
    func moved(back count: Int, size: UInt16) -> Position {
      // Back by `count` is on by `size - count`, one turn less.
      let moved = advanced(by: Int(size) - count, size: size)
      return Position(index: moved.index, wrap: !moved.wrap)
    }

    /// The distance from the start in a ring gone round twice.
    func linear(size: UInt16) -> Int { Int(index) + (wrap ? 0 : Int(size)) }
  }

  private let context: RingContext
  private var available = Position(index: 0, wrap: true)
  private var used = Position(index: 0, wrap: true)
  /// Entries used since the driver's wishes were last asked, never above twice the size.
  private var unsignalled = 0
  private var mustSignal = false
  private var inFlight: InFlightTable
  /// Elements that the driver does not see yet: where the first is, with the flags that will show it, and how many entries they take.
  private var staged: (place: Position, flags: UInt16, entries: Int)?

  init(_ context: RingContext) {
    self.context = context
    inFlight = InFlightTable(size: context.size)
  }

  var state: QueueState {
    QueueState(nextAvailable: available.index, nextUsed: used.index, availableWrap: available.wrap, usedWrap: used.wrap)
  }

  func restore(_ state: QueueState) throws(QueueError) {
    guard state.nextAvailable < context.size else {
      throw .badState("position \(state.nextAvailable) in a packed ring of \(context.size)")
    }
    guard state.nextAvailable == state.nextUsed, state.availableWrap == state.usedWrap else {
      throw .badState("requests of a packed ring were in flight between \(state.nextUsed) and \(state.nextAvailable)")
    }
    available = Position(index: state.nextAvailable, wrap: state.availableWrap)
    used = available
    unsignalled = 0
    mustSignal = true
    inFlight = InFlightTable(size: context.size)
    staged = nil
  }

  var hasNext: Bool { availableFlags() != nil }

  func next(into chain: inout DescriptorChain) throws(QueueError) -> Bool {
    guard let flags = availableFlags() else { return false }
    chain.clear()
    let (id, entries) = try walk(flags: flags, into: &chain)
    guard id < context.size else { throw .badBufferID(id, size: context.size) }
    guard !inFlight.contains(id) else { throw .alreadyInFlight(id) }
    chain.setID(id)
    available = available.advanced(by: entries, size: context.size)
    // Fits: there are at most `size` entries.
    inFlight.insert(id, entries: UInt16(entries))
    return true
  }

  /// The flags of the next descriptor when the driver has made it available (section 2.8.1).
  private func availableFlags() -> UInt16? {
    // Acquire: the rest of the descriptor, and the further ones of its chain, were written before (section 2.8.13.1).
    let flags = context.descriptors.load16(Descriptor.size * Int(available.index) + Layout.descriptorFlags)
    let isAvailable = flags & Descriptor.Flag.available != 0
    let isUsed = flags & Descriptor.Flag.used != 0
    return isAvailable == available.wrap && isUsed != available.wrap ? flags : nil
  }

  /// Collects the buffers of the next chain.
  ///
  /// - Parameter flags: Those of the first descriptor, as `availableFlags` read them.
  /// - Returns: The buffer ID, which is in the chain's last descriptor (section 2.8.6), and the ring entries the chain takes.
  private func walk(flags: UInt16, into chain: inout DescriptorChain) throws(QueueError) -> (id: UInt16, entries: Int) {
    let free = Int(context.size) - inFlight.total
    var entries = 0
    while true {
      guard entries < free else { throw .chainTooLong(limit: UInt32(free)) }
      let place = available.advanced(by: entries, size: context.size)
      let descriptor = Descriptor(packed: context.descriptors.copy16Bytes(Descriptor.size * Int(place.index)))
      entries += 1
      if descriptor.has(Descriptor.Flag.indirect) {
        guard entries == 1 else { throw .badIndirect("follows another descriptor in a packed ring") }
        try walkTable(descriptor, into: &chain)
        return (descriptor.link, entries)
      }
      try chain.append(descriptor, in: context.memory, limit: Int(context.size))
      guard descriptor.has(Descriptor.Flag.next) else { return (descriptor.link, entries) }
    }
  }

  /// Takes all entries of an indirect table in their order (section 2.8.7).
  private func walkTable(_ indirect: Descriptor, into chain: inout DescriptorChain) throws(QueueError) {
    let (table, entries) = try context.indirectTable(indirect)
    for index in 0..<entries {
      let descriptor = Descriptor(packed: table.copy16Bytes(Descriptor.size * index))
      guard !descriptor.has(Descriptor.Flag.indirect) else { throw .badIndirect("is inside an indirect table") }
      try chain.append(descriptor, in: context.memory, limit: Int(context.size))
    }
  }

  func putBack(_ id: UInt16) -> Bool {
    guard let entries = inFlight.putBack(id) else { return false }
    available = available.moved(back: Int(entries), size: context.size)
    return true
  }

  func stage(_ id: UInt16, written: UInt32) -> Bool {
    guard let entries = inFlight.remove(id) else { return false }
    // No more entries than are in flight are staged: at most the size.
    let place = used.advanced(by: staged?.entries ?? 0, size: context.size)
    // Length and buffer ID; the address is of no meaning.
    context.descriptors.store48(UInt64(written) | UInt64(id) << 32, at: Descriptor.size * Int(place.index) + 8)
    var flags: UInt16 = place.wrap ? Descriptor.Flag.available | Descriptor.Flag.used : 0
    if written > 0 { flags |= Descriptor.Flag.write }
    if let first = staged {
      // The driver looks at the first one before this.
      show(flags, at: place)
      staged = (first.place, first.flags, first.entries + Int(entries))
    } else {
      staged = (place, flags, Int(entries))
    }
    return true
  }

  func publish() {
    guard let staged = staged.take() else { return }
    show(staged.flags, at: staged.place)
    used = used.advanced(by: staged.entries, size: context.size)
    unsignalled = min(unsignalled + staged.entries, 2 * Int(context.size))
  }

  /// Writes the flags of a used descriptor. Release: who sees them sees the rest and the data (section 2.8.8).
  private func show(_ flags: UInt16, at place: Position) {
    context.descriptors.store16(flags, at: Descriptor.size * Int(place.index) + Layout.descriptorFlags)
  }

  func takeSignal() -> Bool {
    guard unsignalled > 0 || mustSignal else { return false }
    let count = unsignalled
    let forced = mustSignal
    unsignalled = 0
    mustSignal = false
    // Our entries must be visible before the driver's wishes are read, or both sides could miss each other.
    fullMemoryFence()
    if forced { return true }
    switch context.driver.load16(Layout.eventFlags) & 3 {
    case Layout.disable: return false
    case Layout.atDescriptor where context.usesEventIndex: return passed(context.driver.load16(Layout.eventOffset), count: count)
    default: return true
    }
  }

  /// Whether the driver's event is among the last `count` entries used. An event that is not in the ring counts as passed.
  private func passed(_ event: UInt16, count: Int) -> Bool {
    let place = Position(index: event & 0x7fff, wrap: event & 0x8000 != 0)
    guard place.index < context.size else { return true }
    let turn = 2 * Int(context.size)
    let start = (used.linear(size: context.size) - count + turn) % turn
    return (place.linear(size: context.size) - start + turn) % turn < count
  }

  func disableNotifications() { context.device.store16(Layout.disable, at: Layout.eventFlags) }

  func enableNotifications() throws(QueueError) -> Bool {
    if context.usesEventIndex {
      context.device.store16(available.index | (available.wrap ? 0x8000 : 0), at: Layout.eventOffset)
      context.device.store16(Layout.atDescriptor, at: Layout.eventFlags)
    } else {
      context.device.store16(Layout.enable, at: Layout.eventFlags)
    }
    // Our wish must be visible before the driver's descriptor is read.
    fullMemoryFence()
    return availableFlags() != nil
  }
}
