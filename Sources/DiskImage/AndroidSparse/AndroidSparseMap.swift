internal import Platform

/// Where each block of an Android sparse image is.
public struct AndroidSparseMap: Sendable {
  /// What is in a run of the disk's bytes.
  public enum Content: Equatable, Sendable {
    /// The file's bytes from this offset on.
    case file(offset: UInt64)
    /// These four bytes again and again; the run begins with the first of them, which is the lowest of the number.
    case fill(UInt32)
  }

  /// The disk's bytes.
  public let size: UInt64
  private let blockSize: UInt64
  /// The first block of each run, by rising number, and what is in the run; apart, for the search looks at the former only.
  private var starts: [UInt32] = []
  private var contents: [Content] = []

  /// No more chunks than this are read; what is kept of them takes some 100 MiB. An image of 16 GiB whose every other block of 4096 bytes is a
  /// hole has as many.
  static let limit: UInt64 = 4 << 20

  /// Reads an image's headers.
  ///
  /// Nothing is reserved on the word of a header, and nothing is believed that does not fit the file. What follows the last chunk is ignored.
  ///
  /// - Parameters:
  ///   - fileSize: The number of bytes of the file.
  ///   - read: Gives that many bytes at that offset; they are inside the file.
  /// - Throws: What `read` throws, and all else that is wrong.
  public init(fileSize: UInt64, read: (_ offset: UInt64, _ count: Int) throws(AndroidSparseError) -> [UInt8]) throws(AndroidSparseError) {
    guard fileSize >= UInt64(AndroidSparseHeader.size) else { throw fileSize < 4 ? .wrongMagic : .truncated(chunk: nil) }
    let header = try AndroidSparseHeader(try read(0, AndroidSparseHeader.size))
    size = header.diskSize
    blockSize = UInt64(header.blockSize)
    var offset = UInt64(header.headerSize)
    guard offset <= fileSize else { throw .truncated(chunk: nil) }
    let room = (fileSize - offset) / UInt64(header.chunkHeaderSize)
    let limit = min(room, AndroidSparseMap.limit)
    guard UInt64(header.chunkCount) <= limit else { throw .tooManyChunks(header.chunkCount, limit: limit) }
    var blocks: UInt64 = 0
    for index in 0..<header.chunkCount {
      guard UInt64(header.chunkHeaderSize) <= fileSize - offset else { throw .truncated(chunk: index) }
      let chunk = try AndroidSparseChunk(try read(offset, AndroidSparseChunk.headerSize), index: index, of: header)
      guard UInt64(chunk.fileSize) <= fileSize - offset else { throw .truncated(chunk: index) }
      // No overflow: a header's bytes are in the file.
      let content = offset + UInt64(header.chunkHeaderSize)
      try append(chunk, at: content, after: blocks, limit: header.blockCount, read)
      // No overflow: at most 2^22 numbers of 32 bits.
      blocks += UInt64(chunk.blockCount)
      offset += UInt64(chunk.fileSize)
    }
    guard blocks == UInt64(header.blockCount) else { throw .blockCount(chunks: blocks, header: header.blockCount) }
  }

  private mutating func append(
    _ chunk: AndroidSparseChunk, at offset: UInt64, after blocks: UInt64, limit: UInt32,
    _ read: (UInt64, Int) throws(AndroidSparseError) -> [UInt8]
  ) throws(AndroidSparseError) {
    guard chunk.blockCount > 0 else { return }
    // Checked here, so that a block's number fits.
    guard blocks + UInt64(chunk.blockCount) <= UInt64(limit) else {
      throw .blockCount(chunks: blocks + UInt64(chunk.blockCount), header: limit)
    }
    let content: Content
    switch chunk.kind {
    case .raw: content = .file(offset: offset)
    case .fill: content = .fill(try read(offset, 4).reversed().reduce(0) { $0 << 8 | UInt32($1) })
    case .dontCare, .checksum: content = .fill(0)
    }
    // Neighbours with the same filling are one run.
    if case .fill = content, contents.last == content { return }
    starts.append(UInt32(blocks))
    contents.append(content)
  }

  /// The number of runs.
  public var runCount: Int { starts.count }

  /// What is at a byte of the disk, and how many bytes of the same run follow, that one included.
  ///
  /// - Parameter offset: Less than `size`.
  /// - Returns: `nil` beyond the end. A filling begins with the byte at the offset, which need not be the first of the four.
  public func run(at offset: UInt64) -> (content: Content, count: UInt64)? {
    guard offset < size else { return nil }
    // Fits: the disk has fewer than 2^32 blocks.
    let index = indexOfRun(holding: UInt32(offset / blockSize))
    let start = UInt64(starts[index]) * blockSize
    let end = index + 1 < starts.count ? UInt64(starts[index + 1]) * blockSize : size
    switch contents[index] {
    case .file(let position): return (.file(offset: position + (offset - start)), end - offset)
    case .fill(let word):
      let shift = UInt32((offset - start) % 4) * 8
      return (.fill(shift == 0 ? word : word >> shift | word << (32 - shift)), end - offset)
    }
  }

  /// The last run that begins at or before a block. There is one: the first begins at block 0, for the disk has a block.
  private func indexOfRun(holding block: UInt32) -> Int {
    var (low, high) = (0, starts.count)
    while high - low > 1 {
      let middle = low + (high - low) / 2
      if starts[middle] <= block { low = middle } else { high = middle }
    }
    return low
  }
}
