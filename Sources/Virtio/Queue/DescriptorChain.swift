public import GuestMemory

/// One request: the buffers that the driver made available together (virtio 1.2, sections 2.6 and 2.7.4).
///
/// Use one value again and again: `VirtQueue.next` refills it without allocating. All buffers have been checked against guest memory, all
/// hold at least one byte, and together they hold at most 2^32. The driver may cut a request into buffers anywhere, so a device
/// reads and writes through `ChainReader` and `ChainWriter`, or gathers pieces with `slices`, and never looks at single buffers.
public struct DescriptorChain: Sendable {
  /// Which buffers of a chain are meant.
  public enum Direction: Sendable {
    /// Those that the device reads.
    case readable
    /// Those that the device writes.
    case writable
  }

  /// The head of the chain, or its buffer ID in a packed ring: what `VirtQueue.complete` wants to know.
  public private(set) var id: UInt16 = 0
  /// The buffers that the device reads, in order.
  public private(set) var readable: [GuestSlice] = []
  /// The buffers that the device writes, in order; they come after all readable ones.
  public private(set) var writable: [GuestSlice] = []
  /// The number of bytes in all readable buffers, at most 2^32.
  public private(set) var readableBytes: UInt64 = 0
  /// The number of bytes in all writable buffers, at most 2^32.
  public private(set) var writableBytes: UInt64 = 0
  /// Whether a buffer is not in guest memory, in a chain that admits that: the request cannot be done, but it can be answered. `readable`
  /// ends before the first such buffer, and `writable` begins behind the last one.
  public private(set) var isCut = false

  private let admitsUnreachable: Bool
  /// All buffers taken, also those that are out of reach, and their bytes.
  private var buffersTaken = 0
  private var bytesTaken: UInt64 = 0
  private var hasWritable = false

  /// Makes an empty chain, to be filled by `VirtQueue.next`.
  ///
  /// - Parameter admitsUnreachable: Whether a buffer that is not in guest memory makes the chain `isCut`, and not the queue broken. An
  ///   unprivileged process of the guest can cause such a buffer: memory of another device that it has mapped, such as a file on persistent
  ///   memory.
  public init(admitsUnreachable: Bool = false) { self.admitsUnreachable = admitsUnreachable }

  /// Forgets all buffers and keeps the storage for the next request.
  mutating func clear(id: UInt16 = 0) {
    self.id = id
    readable.removeAll(keepingCapacity: true)
    writable.removeAll(keepingCapacity: true)
    readableBytes = 0
    writableBytes = 0
    isCut = false
    buffersTaken = 0
    bytesTaken = 0
    hasWritable = false
  }

  /// Gives storage back that few requests need, which a driver could make grow for each of a device's requests. The chain was completed.
  public mutating func trim() {
    if max(readable.capacity, writable.capacity) > DescriptorChain.keptBuffers {
      self = DescriptorChain(admitsUnreachable: admitsUnreachable)
    }
  }

  private static let keptBuffers = 64

  mutating func setID(_ id: UInt16) { self.id = id }

  /// Adds the buffer of a descriptor.
  ///
  /// - Parameter limit: The most buffers that the chain may have.
  mutating func append(_ descriptor: Descriptor, in memory: GuestMemory, limit: Int) throws(QueueError) {
    guard buffersTaken < limit else { throw .chainTooLong(limit: UInt32(clamping: limit)) }
    guard descriptor.length > 0 else { throw .emptyBuffer(descriptor.address) }
    // No overflow: each is at most 2^32 before the addition.
    guard bytesTaken + UInt64(descriptor.length) <= 1 << 32 else { throw .chainTooLarge }
    let isWritable = descriptor.has(Descriptor.Flag.write)
    guard isWritable || !hasWritable else { throw .readableAfterWritable }
    buffersTaken += 1
    bytesTaken += UInt64(descriptor.length)
    hasWritable = isWritable
    guard let slice = try? memory.slice(descriptor.address, count: UInt64(descriptor.length)) else {
      guard admitsUnreachable else { throw .bufferOutsideMemory(descriptor.address, count: descriptor.length) }
      return cut()
    }
    if isWritable {
      writable.append(slice)
      writableBytes += UInt64(descriptor.length)
    } else if !isCut {
      readable.append(slice)
      readableBytes += UInt64(descriptor.length)
    }
  }

  /// Notes a buffer that is out of reach.
  private mutating func cut() {
    isCut = true
    writable.removeAll(keepingCapacity: true)
    writableBytes = 0
  }

  /// The buffers of one direction.
  public func buffers(_ direction: Direction) -> [GuestSlice] { direction == .readable ? readable : writable }

  /// The number of bytes of one direction.
  public func byteCount(_ direction: Direction) -> UInt64 { direction == .readable ? readableBytes : writableBytes }

  /// Copies `target.byteCount` bytes of the readable buffers from `offset` on.
  ///
  /// - Throws: `outOfBounds` when the buffers end before that; nothing is copied then.
  public func copyReadable(offset: UInt64, into target: inout MutableRawSpan) throws(ChainError) {
    var reader = ChainReader(self)
    try reader.skip(offset)
    try reader.read(into: &target)
  }

  /// Copies `count` bytes of the readable buffers from `offset` on to the end of `target`.
  ///
  /// - Throws: `outOfBounds` when the buffers end before that; nothing is copied then. So nothing is allocated for a count that a guest
  ///   made up beyond its own memory; a device still bounds `count` itself.
  public func copyReadable(offset: UInt64, count: Int, into target: inout [UInt8]) throws(ChainError) {
    var reader = ChainReader(self)
    try reader.skip(offset)
    target.append(contentsOf: try reader.readBytes(count))
  }

  /// Adds to `target` the pieces of guest memory that make up `count` bytes from `offset` on, for a scatter-gather system call.
  ///
  /// - Throws: `outOfBounds` when the buffers end before that; `target` is unchanged then.
  public func slices(
    from offset: UInt64, count: UInt64, of direction: Direction, into target: inout [GuestSlice]
  ) throws(ChainError) {
    var cursor = ChainCursor(buffers(direction), byteCount: byteCount(direction))
    try cursor.advance(offset)
    try cursor.take(count) { target.append($0) }
  }
}
