/// Why a composite image cannot be used; in words that go on after the file's name.
public enum CompositeError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The file does not begin with the format's magic bytes.
  case wrongMagic
  /// The file is longer than the description of a disk is.
  case tooLong(bytes: Int)
  /// The bytes after the magic are no message; what is wrong in words.
  case malformed(String)
  /// A version whose images may mean something else.
  case unknownVersion(UInt64)
  /// No part, or more than a process can have open.
  case partCount(Int)
  /// A part whose file may not be used: its name is empty, absolute, leads out of the image's folder, or cannot be a name.
  case path(String)
  /// The first part begins behind the disk's start, or a part does not begin behind the one before it.
  case order(part: Int, offset: UInt64)
  /// The disk ends before its last part begins, or is not a whole number of sectors, or larger than a file may be.
  case length(UInt64)
  /// Another number of files than parts was given.
  case fileCount(Int, parts: Int)
  /// A part's file is shorter than the part.
  case shortFile(path: String, size: UInt64, needed: UInt64)
  /// A part that may be written has a file that may not.
  case readOnlyFile(path: String)
  /// A part's file can be used in pieces of so many bytes only.
  case alignment(path: String, Int)

  /// What is wrong, with the values, and what to do.
  public var description: String {
    switch self {
    case .wrongMagic: "is no composite image"
    case .tooLong(let bytes): "has \(bytes) bytes, and the description of a composite image has at most \(CompositeSpecification.sizeLimit)"
    case .malformed(let reason): "is a damaged composite image: \(reason)"
    case .unknownVersion(let version): "is a composite image of version \(version); at most 2 is known"
    case .partCount(let count): "is composed of \(count) parts; 1 to \(CompositeSpecification.partLimit) are possible"
    case .path(let path):
      "is composed of \(path.debugDescription), among others; parts must be files in its own folder or below, by relative names"
    case .order(let part, let offset):
      "is a damaged composite image: its part \(part + 1) begins at \(offset); the first must begin at 0, and each behind the one before"
    case .length(let length): "is a damaged composite image: \(length) bytes are no length for its parts"
    case .fileCount(let files, let parts): "has \(parts) parts, and \(files) files were given"
    case .shortFile(let path, let size, let needed):
      "needs \(needed) bytes of \(path.debugDescription), which has \(size); extend it with truncate -s \(needed)"
    case .readOnlyFile(let path): "may write its part \(path.debugDescription), which was opened read-only"
    case .alignment(let path, let bytes):
      "is composed of \(path.debugDescription), which is used in pieces of \(bytes) bytes; leave out direct"
    }
  }
}
