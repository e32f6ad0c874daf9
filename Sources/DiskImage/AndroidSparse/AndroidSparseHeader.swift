internal import Platform

/// The header of an Android sparse image (libsparse's sparse_format.h); integers are little-endian.
struct AndroidSparseHeader: Equatable {
  /// The number of bytes of the fields. A file may say that its header is longer.
  static let size = 28
  static let magic: UInt32 = 0xed26_ff3a

  let headerSize: UInt16
  let chunkHeaderSize: UInt16
  let blockSize: UInt32
  let blockCount: UInt32
  let chunkCount: UInt32

  /// Reads a header.
  ///
  /// - Parameter bytes: The file's first `size` bytes.
  init(_ bytes: [UInt8]) throws(AndroidSparseError) {
    var reader = ByteReader(bytes)
    do throws(MalformedBytes) {
      guard try reader.get(UInt32.self) == AndroidSparseHeader.magic else { throw MalformedBytes("") }
    } catch { throw .wrongMagic }
    let (major, fields) = try AndroidSparseHeader.fields(&reader)
    // A higher minor version only adds to the headers, which say how long they are.
    guard major == 1 else { throw .unknownVersion(major) }
    self = fields
    guard headerSize >= AndroidSparseHeader.size, chunkHeaderSize >= AndroidSparseChunk.headerSize else {
      throw .shortHeader(fileHeader: headerSize, chunkHeader: chunkHeaderSize)
    }
    guard blockSize > 0, blockSize % 4 == 0 else { throw .blockSize(blockSize) }
    guard diskSize > 0, diskSize <= Int64.max, diskSize % 512 == 0 else { throw .diskSize(blocks: blockCount, blockSize: blockSize) }
  }

  private init(_ reader: inout ByteReader) throws(MalformedBytes) {
    headerSize = try reader.get()
    chunkHeaderSize = try reader.get()
    blockSize = try reader.get()
    blockCount = try reader.get()
    chunkCount = try reader.get()
  }

  private static func fields(_ reader: inout ByteReader) throws(AndroidSparseError) -> (major: UInt16, AndroidSparseHeader) {
    do throws(MalformedBytes) {
      let major: UInt16 = try reader.get()
      _ = try reader.get(UInt16.self)
      return (major, try AndroidSparseHeader(&reader))
    } catch { throw .truncated(chunk: nil) }
  }

  /// The number of bytes of the disk. No overflow: a product of two 32-bit numbers.
  var diskSize: UInt64 { UInt64(blockCount) * UInt64(blockSize) }
}

/// A chunk of an Android sparse image: so many blocks of the disk, and what is in them.
struct AndroidSparseChunk: Equatable {
  /// The number of bytes of a chunk header's fields.
  static let headerSize = 12

  enum Kind: UInt16 {
    /// The blocks follow the header.
    case raw = 0xcac1
    /// Four bytes follow the header, and the blocks repeat them.
    case fill = 0xcac2
    /// What is in the blocks does not matter; they read as zeroes.
    case dontCare = 0xcac3
    /// No blocks, but a checksum of those before, which is not looked at.
    case checksum = 0xcac4
  }

  let kind: Kind
  let blockCount: UInt32
  /// The number of bytes in the file, with the header.
  let fileSize: UInt32

  /// Reads a chunk's header.
  ///
  /// - Parameters:
  ///   - bytes: The header's first `headerSize` bytes.
  ///   - index: The chunk's number, for messages.
  ///   - header: The image's header.
  init(_ bytes: [UInt8], index: UInt32, of header: AndroidSparseHeader) throws(AndroidSparseError) {
    var reader = ByteReader(bytes)
    let (type, blocks, size): (UInt16, UInt32, UInt32)
    do throws(MalformedBytes) {
      type = try reader.get()
      _ = try reader.get(UInt16.self)
      (blocks, size) = (try reader.get(), try reader.get())
    } catch { throw .truncated(chunk: index) }
    guard let kind = Kind(rawValue: type) else { throw .chunkType(type, chunk: index) }
    let content: UInt64 =
      switch kind {
      // No overflow: a product of two 32-bit numbers, and 16 bits more.
      case .raw: UInt64(blocks) * UInt64(header.blockSize)
      case .fill, .checksum: 4
      case .dontCare: 0
      }
    guard UInt64(size) >= UInt64(header.chunkHeaderSize), UInt64(size) - UInt64(header.chunkHeaderSize) == content else {
      throw .chunkSize(bytes: size, chunk: index)
    }
    self.kind = kind
    blockCount = kind == .checksum ? 0 : blocks
    fileSize = size
  }
}
