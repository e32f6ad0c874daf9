internal import CLinux
internal import Glibc
public import Platform

/// A disk that is made of parts of several files, one behind the other: as a rule a partition table, partitions, and the table's copy.
///
/// A part may be an image of any format; a write to one that may only be read is an error, also where others may be written.
public final class CompositeImage: SynchronousDisk {
  private struct Part {
    let offset: UInt64
    let length: UInt64
    let fileOffset: UInt64
    let isWritable: Bool
    let disk: any SynchronousDisk

    var end: UInt64 { offset + length }
  }

  private let parts: [Part]
  /// Kept for its lock.
  private let file: RawImage
  /// The number of bytes of the disk.
  public let size: UInt64
  /// Whether no part may be written.
  public let isReadOnly: Bool
  /// Whether a part gives discarded ranges back.
  public let discards: Bool

  /// Composes a disk.
  ///
  /// - Parameters:
  ///   - file: The composite image itself, kept open for its lock. Where it is read-only, the disk is.
  ///   - specification: What it says.
  ///   - files: The parts' images, in order, with any size allowed (`RawImage.Options.allowsAnySize`), for a part may end inside of a sector. Composite images are no parts: whoever opens them refuses that.
  /// - Throws: `CompositeError`.
  public init(file: RawImage, _ specification: CompositeSpecification, files: [any SynchronousDisk]) throws(CompositeError) {
    guard files.count == specification.parts.count else { throw .fileCount(files.count, parts: specification.parts.count) }
    var parts: [Part] = []
    for (part, disk) in zip(specification.parts, files) {
      let isWritable = part.isWritable && !file.isReadOnly
      try CompositeImage.check(part, disk, isWritable: isWritable)
      parts.append(
        Part(offset: part.offset, length: part.length, fileOffset: part.fileOffset, isWritable: isWritable, disk: disk))
    }
    self.parts = parts
    self.file = file
    size = specification.length
    isReadOnly = !parts.contains(where: \.isWritable)
    discards = parts.contains { $0.isWritable && $0.disk.discards }
  }

  private static func check(
    _ part: CompositeSpecification.Part, _ disk: any SynchronousDisk, isWritable: Bool
  ) throws(CompositeError) {
    let (needed, overflow) = part.fileOffset.addingReportingOverflow(part.length)
    guard !overflow, needed <= disk.size else {
      throw .shortFile(path: part.path, size: disk.size, needed: overflow ? .max : needed)
    }
    guard !isWritable || !disk.isReadOnly else { throw .readOnlyFile(path: part.path) }
    // Parts begin and end anywhere.
    guard disk.alignment <= 512 else { throw .alignment(path: part.path, disk.alignment) }
    if let raw = disk as? RawImage, raw.options.isDirect { throw .alignment(path: part.path, raw.alignment) }
  }

  /// Any sector.
  public var alignment: Int { 512 }

  /// Refused.
  public func resize(to bytes: UInt64) throws(DiskError) { throw .cannotResize(file.path, "it is composed of several files") }

  /// Makes a way to the disk for one thread.
  public func makeChannel(depth: Int, buffers: (any AnyObject & Sendable)?, ring: IOUring?) throws(DiskError) -> any DiskChannel {
    try InlineChannel(disk: self, depth: depth, buffers: buffers)
  }

  /// The index of the part at an offset; there is one for each up to the disk's end, for parts have no gaps.
  private func index(at offset: UInt64) -> Int {
    var (low, high) = (0, parts.count)
    while high - low > 1 {
      let middle = low + (high - low) / 2
      if parts[middle].offset <= offset { low = middle } else { high = middle }
    }
    return low
  }

  /// Reads or writes up to the end of a part.
  @unsafe public func transfer(isWrite: Bool, vectors: BufferVectors, offset: UInt64, isDurable: Bool) -> Int {
    guard offset < size else { return 0 }
    let part = parts[index(at: offset)]
    guard part.isWritable || !isWrite else { return -Int(EROFS) }
    return unsafe vectors.withPrefix(Int(clamping: part.end - offset)) { piece in
      // No overflow: the part's end in the file was checked.
      unsafe part.disk.transfer(
        isWrite: isWrite, vectors: piece, offset: part.fileOffset + (offset - part.offset), isDurable: isDurable)
    }
  }

  /// Flushes all parts that may be written, also after one has failed; returns the first failure.
  public func flush() -> Int32 {
    var code: Int32 = 0
    for part in parts where part.isWritable {
      let result = part.disk.flush()
      if code == 0 { code = result }
    }
    return code
  }

  /// Leaves the parts as files that nobody uses any more.
  public func finish() {
    for part in parts { part.disk.finish() }
  }

  /// Forgets a range where it may be written; a discard is a hint, and the rest keeps its content.
  public func discard(offset: UInt64, count: UInt64) -> Int32 {
    eachPiece(offset: offset, count: count) { part, start, length in part.isWritable ? part.disk.discard(offset: start, count: length) : 0 }
  }

  /// Fills a range with zeroes; one that touches a part that may only be read is refused as a whole.
  public func writeZeroes(offset: UInt64, count: UInt64, mayDiscard: Bool) -> Int32 {
    let refusal = eachPiece(offset: offset, count: count) { part, _, _ in part.isWritable ? 0 : EROFS }
    guard refusal == 0 else { return refusal }
    return eachPiece(offset: offset, count: count) { part, start, length in
      part.disk.writeZeroes(offset: start, count: length, mayDiscard: mayDiscard)
    }
  }

  /// Cuts a range where parts end, until a piece fails.
  ///
  /// - Parameter body: Called with the part, and the piece's place in its file.
  private func eachPiece(offset: UInt64, count: UInt64, _ body: (Part, _ start: UInt64, _ length: UInt64) -> Int32) -> Int32 {
    guard offset <= size, count <= size - offset else { return EINVAL }
    var (position, left) = (offset, count)
    while left > 0 {
      let part = parts[index(at: position)]
      let length = min(left, part.end - position)
      let code = body(part, part.fileOffset + (position - part.offset), length)
      guard code == 0 else { return code }
      position += length
      left -= length
    }
    return 0
  }
}
