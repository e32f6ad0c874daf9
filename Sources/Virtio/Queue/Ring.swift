internal import GuestMemory

/// What both formats of a queue can do; `VirtQueue` is the door.
protocol Ring: AnyObject {
  /// Where the ring stands. Setting it checks that it fits.
  var state: QueueState { get }
  func restore(_ state: QueueState) throws(QueueError)

  /// Whether `next` would find a chain, or a mistake of the driver's.
  var hasNext: Bool { get }
  func next(into chain: inout DescriptorChain) throws(QueueError) -> Bool
  /// Makes the last chain taken and not put back the next one to take again; `false` when `id` is not it.
  func putBack(_ id: UInt16) -> Bool
  /// Writes that a chain is used, where the driver does not see it before `publish`; `false` when it is not in flight.
  func stage(_ id: UInt16, written: UInt32) -> Bool
  /// Shows the driver all that is staged, at once.
  func publish()

  /// Whether the driver wants to hear of what was completed since the last call.
  func takeSignal() -> Bool
  func disableNotifications()
  /// Asks for doorbells again; `true` when a chain is there already.
  func enableNotifications() throws(QueueError) -> Bool
}

/// The parts of a queue's set-up that both formats need.
struct RingContext {
  let size: UInt16
  let memory: GuestMemory
  let descriptors: RingArea
  let driver: RingArea
  let device: RingArea
  let allowsIndirect: Bool
  let usesEventIndex: Bool

  /// Checks an indirect descriptor and returns its table (sections 2.7.5.3 and 2.8.7).
  ///
  /// The write flag of the descriptor itself is ignored, as the specification demands.
  func indirectTable(_ descriptor: Descriptor) throws(QueueError) -> (table: RingArea, entries: Int) {
    guard allowsIndirect else { throw .badIndirect("came without the feature") }
    guard !descriptor.has(Descriptor.Flag.next) else { throw .badIndirect("has a next one") }
    guard descriptor.length > 0 else { throw .badIndirect("has an empty table") }
    guard descriptor.length % UInt32(Descriptor.size) == 0 else {
      throw .badIndirect("has a table of \(descriptor.length) bytes, which is not a multiple of 16")
    }
    let entries = descriptor.length / UInt32(Descriptor.size)
    guard entries <= UInt32(size) else { throw .badIndirect("has a table of \(entries) entries in a queue of \(size)") }
    do {
      return (RingArea(slice: try memory.slice(descriptor.address, count: UInt64(descriptor.length))), Int(entries))
    } catch { throw .badIndirect("has a table at \(descriptor.address) (\(descriptor.length) bytes), which is not in guest memory") }
  }
}
