public import GuestMemory
public import Platform

/// The device's side of one queue, split (virtio 1.2, section 2.7) or packed (section 2.8).
///
/// The transport makes it when the driver is ready. It is used by one thread at a time; handing it from thread to thread is the owner's
/// business (a `QueueWorker` does it right). `index`, `size`, `doorbell` and `interrupt` may be read from anywhere.
///
/// The usual round: `disableNotifications`; `next` and `complete` until `next` finds nothing; `enableNotifications`, and again from the start
/// when that says that something arrived meanwhile; `notify`.
public final class VirtQueue: @unchecked Sendable {
  // Unchecked because `ring` and `isBroken` change without a lock: the rule above takes its place.

  /// The queue's number within its device.
  public let index: UInt16
  /// The number of descriptors.
  public let size: UInt16
  /// Is signalled when the driver has made buffers available.
  public let doorbell: EventFD
  /// The device's way to the driver's attention.
  public let interrupt: any VirtioInterrupt
  /// Whether the driver broke the rules or `fail` was called: nothing is taken from the queue any more.
  public private(set) var isBroken = false
  /// Where the descriptors, the driver's and the device's area are: for somebody else who serves the queue, such as the host's kernel.
  public let areas: (descriptors: GuestSlice, driver: GuestSlice, device: GuestSlice)
  private let ring: any Ring

  /// Makes the device's side of a queue from what the driver programmed, at its beginning.
  ///
  /// - Parameter features: The accepted bits; RING_PACKED, INDIRECT_DESC and EVENT_IDX matter.
  /// - Throws: `badSize`, `misaligned`, `outsideMemory` or `overlap`.
  public init(
    index: UInt16, configuration: QueueConfiguration, memory: GuestMemory, features: UInt64, doorbell: EventFD,
    interrupt: any VirtioInterrupt
  ) throws(QueueError) {
    let (descriptors, driver, device) = try configuration.areas(in: memory, features: features)
    let context = RingContext(
      size: configuration.size, memory: memory, descriptors: RingArea(slice: descriptors), driver: RingArea(slice: driver),
      device: RingArea(slice: device), allowsIndirect: features & VirtioFeatures.indirectDescriptors != 0,
      usesEventIndex: features & VirtioFeatures.eventIndex != 0)
    ring = features & VirtioFeatures.packedRing != 0 ? PackedRing(context) : SplitRing(context)
    areas = (descriptors, driver, device)
    self.index = index
    size = configuration.size
    self.doorbell = doorbell
    self.interrupt = interrupt
  }

  /// Whether the driver has made something available, so that `next` would not be in vain; as cheap as a read of memory.
  public var hasNext: Bool { !isBroken && ring.hasNext }

  /// Takes the next available chain.
  ///
  /// - Parameter chain: Takes the buffers and keeps its storage; empty when there is none.
  /// - Returns: `false` when the driver has made nothing available, or the queue is broken.
  /// - Throws: What the driver did wrong; the queue is broken from then on, and the caller calls `fail`.
  public func next(into chain: inout DescriptorChain) throws(QueueError) -> Bool {
    guard !isBroken else {
      chain.clear()
      return false
    }
    do {
      if try ring.next(into: &chain) { return true }
      chain.clear()
      return false
    } catch {
      isBroken = true
      chain.clear()
      throw error
    }
  }

  /// Makes the chain taken last the next one to be taken again, as if it had never been taken. Several go back in the reverse order.
  ///
  /// - Returns: `false`, and nothing happens, unless `id` is the last chain that `next` took and that was not put back, and is still in flight.
  @discardableResult
  public func putBack(_ id: UInt16) -> Bool { ring.putBack(id) }

  /// Hands a chain back to the driver; chains may be handed back in any order.
  ///
  /// - Parameters:
  ///   - id: The chain's `id`.
  ///   - written: How many bytes the device wrote, from the first writable byte on without a gap.
  /// - Returns: `false`, and nothing happens, when no such chain is in flight.
  @discardableResult
  public func complete(_ id: UInt16, written: UInt32) -> Bool {
    defer { ring.publish() }
    return ring.stage(id, written: written)
  }

  /// As `complete`, but the driver does not see it before `publish`: for chains that it must find together (sections 5.1.6.4 and 2.7.8).
  ///
  /// - Returns: `false`, and nothing happens, when no such chain is in flight.
  @discardableResult
  public func stage(_ id: UInt16, written: UInt32) -> Bool { ring.stage(id, written: written) }

  /// Shows the driver all that was staged, at once.
  public func publish() { ring.publish() }

  /// Interrupts the driver if chains were completed since the last call and it wants to hear of them (sections 2.7.7.2 and 2.8.10).
  public func notify() {
    if ring.takeSignal() { interrupt.signalUsed(queue: index) }
  }

  /// Tells the driver that doorbells are of no use for now; it may ring all the same.
  public func disableNotifications() {
    if !isBroken { ring.disableNotifications() }
  }

  /// Asks the driver for a doorbell when it makes the next buffer available.
  ///
  /// - Returns: `true` when something became available before the driver could see that: serve the queue again, no doorbell will come.
  /// - Throws: What the driver did wrong; the queue is broken from then on, and the caller calls `fail`.
  public func enableNotifications() throws(QueueError) -> Bool {
    guard !isBroken else { return false }
    do { return try ring.enableNotifications() } catch {
      isBroken = true
      throw error
    }
  }

  /// Gives the queue up: takes nothing from it any more and asks the driver to reset the device, naming queue and reason.
  public func fail(_ reason: some CustomStringConvertible) {
    isBroken = true
    interrupt.deviceNeedsReset("queue \(index): \(reason)")
  }

  /// Where the queue stands; complete enough for `restore` when no chain is in flight.
  public var state: QueueState { ring.state }

  /// Goes on where a queue of the same configuration stood. The next `notify` interrupts the driver in any case, because an interrupt
  /// may have been lost on the way.
  ///
  /// - Throws: `badState` when the state cannot be that of such a queue with no chain in flight.
  public func restore(_ state: QueueState) throws(QueueError) { try ring.restore(state) }
}
