internal import Platform

/// Why an Android sparse image cannot be used; in words that go on after the file's name.
public enum AndroidSparseError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The file was opened for writing.
  case writable
  /// The file was opened to bypass the page cache.
  case direct
  /// The file does not begin with the format's magic number.
  case wrongMagic
  /// A version whose images may mean something else.
  case unknownVersion(UInt16)
  /// A header is shorter than its fields.
  case shortHeader(fileHeader: UInt16, chunkHeader: UInt16)
  /// The blocks' size in bytes is zero or no multiple of 4.
  case blockSize(UInt32)
  /// The disk has no byte, or more than a file may have, or no whole number of sectors.
  case diskSize(blocks: UInt32, blockSize: UInt32)
  /// More chunks than fit into the file, or than are kept.
  case tooManyChunks(UInt32, limit: UInt64)
  /// A chunk of a type that the format does not know.
  case chunkType(UInt16, chunk: UInt32)
  /// A chunk whose length in the file is not the one that its type and its blocks ask for.
  case chunkSize(bytes: UInt32, chunk: UInt32)
  /// The file ends before a header or a chunk does.
  case truncated(chunk: UInt32?)
  /// The chunks make up another number of blocks than the header says.
  case blockCount(chunks: UInt64, header: UInt32)
  /// The file cannot be read.
  case unreadable(code: Int32)

  /// What is wrong, with the values, and what to do.
  public var description: String {
    switch self {
    case .writable: "is an Android sparse image, which can only be read; give ro, or convert it (simg2img)"
    case .direct: "is an Android sparse image, which has no use for direct I/O; leave out direct"
    case .wrongMagic: "is no Android sparse image"
    case .unknownVersion(let major): "is an Android sparse image of version \(major), expected 1; convert it (simg2img)"
    case .shortHeader(let file, let chunk): "is damaged: headers of \(file) and \(chunk) bytes, expected at least 28 and 12"
    case .blockSize(let size): "is damaged: blocks of \(size) bytes, expected a multiple of 4"
    case .diskSize(let blocks, let size): "holds \(blocks) blocks of \(size) bytes, which is no size of a disk"
    case .tooManyChunks(let count, let limit): "has \(count) chunks, and at most \(limit) are possible; convert it (simg2img)"
    case .chunkType(let type, let chunk): "is damaged: chunk \(chunk) is of the unknown type 0x\(String(type, radix: 16))"
    case .chunkSize(let bytes, let chunk): "is damaged: chunk \(chunk) has \(bytes) bytes, which its type and its blocks do not take"
    case .truncated(let chunk?): "ends before its chunk \(chunk) does"
    case .truncated(nil): "ends before its header does"
    case .blockCount(let chunks, let header): "is damaged: its chunks have \(chunks) blocks, and its header says \(header)"
    case .unreadable(let code): "cannot be read: \(SystemError("read", code: code).reason)"
    }
  }
}
