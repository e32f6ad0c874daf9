public import Platform

/// A disk that is kept in a file or device of the host: a numbered sequence of bytes, whatever the format behind it.
public protocol DiskImage: AnyObject, Sendable {
  /// The number of bytes that the disk holds now, a multiple of 512.
  var size: UInt64 { get }

  /// Whether writes are refused.
  var isReadOnly: Bool { get }

  /// What offsets and lengths of reads and writes must be multiples of, in bytes: a power of two, at least 512.
  var alignment: Int { get }

  /// Whether discarded ranges are given back to the host; where not, `discard` does nothing and succeeds.
  var discards: Bool { get }

  /// Whether a channel that was given a ring has many operations under way, and not one after the other.
  var usesRings: Bool { get }

  /// Gives the disk another number of bytes while it is in use. What is beyond a smaller size is lost; what a larger one brings reads as zeroes.
  ///
  /// - Parameter bytes: A multiple of `alignment`, not zero.
  /// - Throws: `DiskError`; the size is as before then.
  func resize(to bytes: UInt64) throws(DiskError)

  /// Makes a way to the disk for one thread.
  ///
  /// - Parameters:
  ///   - depth: The number of slots: operations that may be under way at a time.
  ///   - buffers: The owner of all memory that `addBuffer` will be given, kept until the last operation has ended.
  ///   - ring: A ring at rest, made for `depth` requests or more, which is the caller's again once the channel was ended; without one
  ///     the channel makes plain system calls.
  func makeChannel(depth: Int, buffers: (any AnyObject & Sendable)?, ring: IOUring?) throws(DiskError) -> any DiskChannel

  /// Leaves the file as one that nobody uses any more. The disk can still be used.
  func finish()
}

extension DiskImage {
  /// A format that is served through `InlineChannel` has no use for them.
  public var usesRings: Bool { false }

  /// Does nothing: a format without tables of its own is always as it should be.
  public func finish() {}
}

/// What is done to a disk.
public enum DiskOperation: Sendable, Equatable {
  /// Fills the slot's buffers.
  case read
  /// Stores the slot's buffers.
  case write
  /// Puts all writes that have ended on stable storage.
  case flush
  /// Forgets the content of a range: it reads as anything that was there before, or as zeroes.
  case discard
  /// Fills a range with zeroes; `mayDiscard` allows to give its space back to the host.
  case writeZeroes(mayDiscard: Bool)
}

/// What `DiskChannel.next` reports.
public enum DiskEvent: Sendable, Equatable {
  /// The slot's operation has ended: `code` is zero, or the kernel's reason for the failure (`errno`).
  case ended(slot: Int, code: Int32)
  /// The watched descriptor, by its order, was signalled; or it may have been.
  case woken(Int)
}

/// One thread's way to a disk: operations are begun, run side by side, and end in any order. This is also where the thread sleeps.
///
/// From `start` on, a channel belongs to the thread that called it. All its memory is reserved when it is made.
public protocol DiskChannel: AnyObject {
  /// How many buffers a slot takes.
  var bufferLimit: Int { get }

  /// Wakes `wait` each time that a descriptor, lent until `end`, becomes readable. Descriptors need not be drained.
  func watch(_ descriptor: Int32) throws(DiskError)

  /// Gives the channel to the calling thread. Before anything but `watch`.
  func start() throws(DiskError)

  /// Empties a slot's list of buffers. The slot must be free: no operation of it is under way.
  func clear(slot: Int)

  /// Adds memory to a free slot's list of buffers.
  ///
  /// - Returns: Whether there was room.
  @unsafe func addBuffer(_ start: UnsafeMutableRawPointer, count: Int, slot: Int) -> Bool

  /// Begins an operation in a free slot; `next` reports its end, be it an error that is found at once.
  ///
  /// - Parameters:
  ///   - operation: What to do. A read or write works on the slot's buffers, which together must hold `count` bytes.
  ///   - slot: 0 up to the depth.
  ///   - offset: Where on the disk, in bytes; zero for a flush.
  ///   - count: How many bytes; zero for a flush.
  ///   - isDurable: Whether the operation ends only when its effect is on stable storage.
  func begin(_ operation: DiskOperation, slot: Int, offset: UInt64, count: UInt64, isDurable: Bool)

  /// Whether an operation has ended already, so that `next` reports it without a `wait`. False does not mean that none has.
  var hasEnded: Bool { get }

  /// Whether many operations end when they are handed to the kernel (they find their data in the page cache): a `wait` that does not
  /// block then reports them, and is worth its price.
  var endsSoon: Bool { get }

  /// The next event that is known, or nil: then `wait`.
  func next() -> DiskEvent?

  /// Hands begun operations to the kernel and, where `mayBlock` and no event is known, sleeps until there is one (or, at times, for less).
  func wait(mayBlock: Bool) throws(DiskError)

  /// Ends everything: cancels what has not begun, waits for what has. No buffer is touched afterwards. The channel's thread calls it.
  func end()
}

/// A disk whose operations are finished when the call returns: what a format needs to provide to be used through `InlineChannel`.
///
/// Calls may come from several threads at a time.
public protocol SynchronousDisk: DiskImage {
  /// Reads or writes a list of buffers.
  ///
  /// - Returns: How many bytes were done, which may be less than asked for, or a negated `errno`.
  @unsafe func transfer(isWrite: Bool, vectors: BufferVectors, offset: UInt64, isDurable: Bool) -> Int

  /// Puts all writes that have ended on stable storage. Returns zero or an `errno`, as do the next two.
  func flush() -> Int32

  /// Forgets the content of a range.
  func discard(offset: UInt64, count: UInt64) -> Int32

  /// Fills a range with zeroes.
  func writeZeroes(offset: UInt64, count: UInt64, mayDiscard: Bool) -> Int32

  /// What is known of the disk's content from an offset on, without reading it; the whole disk takes many calls, for each does little.
  ///
  /// - Parameter offset: Within the disk.
  func extent(at offset: UInt64) throws(DiskError) -> DiskExtent
}
