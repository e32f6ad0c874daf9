/// Writes Android sparse images, good ones and, after a change of their fields, bad ones; and says what a disk made of them reads as.
public struct AndroidSparseFile: Sendable {
  /// What a chunk is made of.
  public enum Content: Sendable {
    /// These blocks; the count must be a multiple of the block size.
    case raw([UInt8])
    /// So many blocks of these four bytes.
    case fill([UInt8], blocks: UInt32)
    /// So many blocks of nothing.
    case dontCare(blocks: UInt32)
    /// A checksum.
    case checksum
  }

  /// Bytes in a block.
  public var blockSize: UInt32
  /// The lengths of headers, which may be longer than their fields.
  public var headerSizes: (file: UInt16, chunk: UInt16) = (28, 12)
  /// The version's higher number.
  public var major: UInt16 = 1
  /// The chunks.
  public var chunks: [Content]
  /// The numbers of blocks and chunks in the header, where they are not those of the chunks.
  public var counts: (blocks: UInt32?, chunks: UInt32?) = (nil, nil)

  /// Begins with chunks.
  public init(blockSize: UInt32 = 4096, _ chunks: [Content]) {
    self.blockSize = blockSize
    self.chunks = chunks
  }

  /// The file.
  public var bytes: [UInt8] {
    var bytes = encoded(UInt32(0xed26_ff3a)) + encoded(major) + encoded(UInt16(0)) + encoded(headerSizes.file) + encoded(headerSizes.chunk)
    bytes += encoded(blockSize) + encoded(counts.blocks ?? blockCount) + encoded(counts.chunks ?? UInt32(chunks.count)) + encoded(UInt32(0))
    bytes += [UInt8](repeating: 0xee, count: max(0, Int(headerSizes.file) - 28))
    for chunk in chunks { bytes += encoded(chunk) }
    return bytes
  }

  private func encoded(_ chunk: Content) -> [UInt8] {
    let (type, blocks, data): (UInt16, UInt32, [UInt8]) =
      switch chunk {
      case .raw(let data): (0xcac1, UInt32(data.count) / blockSize, data)
      case .fill(let word, let blocks): (0xcac2, blocks, word)
      case .dontCare(let blocks): (0xcac3, blocks, [])
      case .checksum: (0xcac4, 0, [1, 2, 3, 4])
      }
    let padding = [UInt8](repeating: 0xee, count: max(0, Int(headerSizes.chunk) - 12))
    return encoded(type) + encoded(UInt16(0)) + encoded(blocks) + encoded(UInt32(headerSizes.chunk) + UInt32(data.count)) + padding + data
  }

  private func encoded(_ value: some FixedWidthInteger) -> [UInt8] {
    (0..<value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  private var blockCount: UInt32 { UInt32(contents.count) / blockSize }

  /// What the disk reads as.
  public var contents: [UInt8] {
    var bytes: [UInt8] = []
    for chunk in chunks {
      switch chunk {
      case .raw(let data): bytes += data
      case .fill(let word, let blocks): bytes += (0..<Int(blocks * blockSize)).map { word[$0 % 4] }
      case .dontCare(let blocks): bytes += [UInt8](repeating: 0, count: Int(blocks * blockSize))
      case .checksum: break
      }
    }
    return bytes
  }

  /// An image with a chunk of each kind, in blocks of 512 bytes.
  public static let sample = AndroidSparseFile(
    blockSize: 512,
    [
      .raw((0..<1024).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }), .fill([1, 2, 3, 4], blocks: 3), .checksum,
      .dontCare(blocks: 2), .raw([UInt8](repeating: 9, count: 512)), .fill([0, 0, 0, 0], blocks: 1), .dontCare(blocks: 1),
      .fill([5, 5, 5, 5], blocks: 2), .checksum,
    ])
}
