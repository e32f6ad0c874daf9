public import GuestMemory

/// A request that is shorter than the device expects.
public enum ChainError: Error, Equatable, Sendable, CustomStringConvertible {
  /// `count` bytes were wanted from `offset` on, of `available` bytes in all.
  case outOfBounds(offset: UInt64, count: UInt64, available: UInt64)

  /// The failure in words, with the values.
  public var description: String {
    switch self {
    case .outOfBounds(let offset, let count, let available):
      "\(count) bytes at offset \(offset) are not in a request of \(available) bytes"
    }
  }
}

/// A position in a list of buffers, moving forward only.
struct ChainCursor: Sendable {
  private let buffers: [GuestSlice]
  private let byteCount: UInt64
  private var index = 0
  private var inside = 0
  /// The number of bytes before the position.
  private(set) var offset: UInt64 = 0

  init(_ buffers: [GuestSlice], byteCount: UInt64) {
    self.buffers = buffers
    self.byteCount = byteCount
  }

  var remaining: UInt64 { byteCount - offset }

  /// Moves on by `count` bytes and calls `body` with each piece passed over.
  mutating func take(_ count: UInt64, _ body: (GuestSlice) throws(GuestMemoryError) -> Void) throws(ChainError) {
    guard count <= remaining else { throw outOfBounds(count) }
    var left = count
    while left > 0, index < buffers.count {
      let buffer = buffers[index]
      // Fits: a buffer has at most 2^32 bytes, and `inside` is less than its count.
      let length = min(buffer.count - inside, Int(clamping: left))
      do { try body(length == buffer.count ? buffer : try buffer.slice(inside, count: length)) } catch { throw outOfBounds(left) }
      move(length, in: buffer)
      left -= UInt64(length)
    }
  }

  /// Moves on by `count` bytes.
  mutating func advance(_ count: UInt64) throws(ChainError) {
    guard count <= remaining else { throw outOfBounds(count) }
    var left = count
    while left > 0, index < buffers.count {
      let length = min(buffers[index].count - inside, Int(clamping: left))
      move(length, in: buffers[index])
      left -= UInt64(length)
    }
  }

  private mutating func move(_ length: Int, in buffer: GuestSlice) {
    inside += length
    offset += UInt64(length)
    if inside == buffer.count {
      index += 1
      inside = 0
    }
  }

  private func outOfBounds(_ count: UInt64) -> ChainError { .outOfBounds(offset: offset, count: count, available: byteCount) }
}

/// Reads the device-readable part of a request from its start on, across all borders between buffers. Each byte is read once.
public struct ChainReader: Sendable {
  private var cursor: ChainCursor

  /// Begins at the first readable byte.
  public init(_ chain: DescriptorChain) { cursor = ChainCursor(chain.readable, byteCount: chain.readableBytes) }

  /// The number of bytes not read yet.
  public var remaining: UInt64 { cursor.remaining }

  /// The number of bytes read or skipped.
  public var offset: UInt64 { cursor.offset }

  /// Passes over `count` bytes.
  ///
  /// - Throws: `outOfBounds` when fewer remain; the position is unchanged then.
  public mutating func skip(_ count: UInt64) throws(ChainError) { try cursor.advance(count) }

  /// Fills `target`.
  ///
  /// - Throws: `outOfBounds` when fewer bytes remain; the position is unchanged then.
  public mutating func read(into target: inout MutableRawSpan) throws(ChainError) {
    var done = 0
    let count = target.byteCount
    try cursor.take(UInt64(count)) { (piece) throws(GuestMemoryError) in
      var part = target._mutatingExtracting(done..<done + piece.count)
      try piece.copy(0, into: &part)
      done += piece.count
    }
  }

  /// Reads `count` bytes; check it against what the device supports first.
  ///
  /// - Throws: `outOfBounds` when fewer remain or `count` is negative; the position is unchanged then.
  public mutating func readBytes(_ count: Int) throws(ChainError) -> [UInt8] {
    guard count >= 0, UInt64(count) <= remaining else {
      throw .outOfBounds(offset: offset, count: UInt64(bitPattern: Int64(count)), available: offset + remaining)
    }
    var bytes = [UInt8](repeating: 0, count: count)
    var span = bytes.mutableSpan
    // Any byte is a valid `UInt8`.
    var target = unsafe span.mutableBytes
    try read(into: &target)
    return bytes
  }

  /// Reads a little-endian integer of at most 8 bytes.
  ///
  /// - Throws: `outOfBounds` when fewer bytes remain; the position is unchanged then.
  @inlinable public mutating func read<T: FixedWidthInteger & UnsignedInteger>(_ type: T.Type = T.self) throws(ChainError) -> T {
    T(truncatingIfNeeded: try readWord(bytes: T.bitWidth / 8))
  }

  @usableFromInline mutating func readWord(bytes count: Int) throws(ChainError) -> UInt64 {
    var word: InlineArray<1, UInt64> = [0]
    var span = word.mutableSpan
    // Any bytes are a valid integer.
    var bytes = unsafe span.mutableBytes
    var target = bytes._mutatingExtracting(0..<min(count, 8))
    try read(into: &target)
    return UInt64(littleEndian: word[0])
  }

  /// Adds the pieces of guest memory that make up the next `count` bytes to `target`, and passes over them.
  ///
  /// - Throws: `outOfBounds` when fewer remain; nothing changes then.
  public mutating func slices(_ count: UInt64, into target: inout [GuestSlice]) throws(ChainError) {
    try cursor.take(count) { target.append($0) }
  }
}

/// Writes the device-writable part of a request from its start on, across all borders between buffers.
public struct ChainWriter: Sendable {
  private var cursor: ChainCursor

  /// Begins at the first writable byte.
  public init(_ chain: DescriptorChain) { cursor = ChainCursor(chain.writable, byteCount: chain.writableBytes) }

  /// The number of bytes that still have room.
  public var remaining: UInt64 { cursor.remaining }

  /// The number of bytes written or passed over, for `VirtQueue.complete`.
  public var written: UInt32 { UInt32(clamping: cursor.offset) }

  /// Passes over `count` bytes, which keep their content.
  ///
  /// - Throws: `outOfBounds` when fewer remain; the position is unchanged then.
  public mutating func skip(_ count: UInt64) throws(ChainError) { try cursor.advance(count) }

  /// Writes bytes.
  ///
  /// - Throws: `outOfBounds` when there is not room for all; nothing is written then.
  public mutating func write(_ bytes: RawSpan) throws(ChainError) {
    var done = 0
    try cursor.take(UInt64(bytes.byteCount)) { (piece) throws(GuestMemoryError) in
      try piece.copy(from: bytes.extracting(done..<done + piece.count), at: 0)
      done += piece.count
    }
  }

  /// Writes bytes.
  ///
  /// - Throws: `outOfBounds` when there is not room for all; nothing is written then.
  public mutating func write(_ bytes: [UInt8]) throws(ChainError) {
    // A span over the bytes of `UInt8` values: every byte is initialized.
    try unsafe write(bytes.span.bytes)
  }

  /// Writes a little-endian integer of at most 8 bytes.
  ///
  /// - Throws: `outOfBounds` when there is not room for it; nothing is written then.
  @inlinable public mutating func write<T: FixedWidthInteger & UnsignedInteger>(integer value: T) throws(ChainError) {
    try writeWord(UInt64(truncatingIfNeeded: value), bytes: T.bitWidth / 8)
  }

  @usableFromInline mutating func writeWord(_ value: UInt64, bytes count: Int) throws(ChainError) {
    let word: InlineArray<1, UInt64> = [value.littleEndian]
    // The bytes of an integer: every one is initialized.
    try unsafe write(word.span.bytes.extracting(0..<min(count, 8)))
  }

  /// Sets the next `count` bytes to `byte`.
  ///
  /// - Throws: `outOfBounds` when fewer remain; nothing is written then.
  public mutating func fill(_ byte: UInt8, count: UInt64) throws(ChainError) { try cursor.take(count) { $0.fill(byte) } }

  /// Adds the pieces of guest memory that make up the next `count` bytes to `target`, and passes over them.
  ///
  /// - Throws: `outOfBounds` when fewer remain; nothing changes then.
  public mutating func slices(_ count: UInt64, into target: inout [GuestSlice]) throws(ChainError) {
    try cursor.take(count) { target.append($0) }
  }
}
