/// Why a qcow2 image cannot be used, or not for writing.
public enum Qcow2Problem: Error, Equatable, Sendable, CustomStringConvertible {
  /// The file ends before its header does.
  case truncated
  /// The file does not begin with qcow2's magic.
  case noMagic
  /// A version other than 2 and 3.
  case version(UInt32)
  /// Clusters of 2 to the power of this many bytes.
  case clusterBits(UInt32)
  /// The header says to have this many bytes.
  case headerLength(UInt32)
  /// The content is encrypted.
  case encrypted
  /// The content is in another file.
  case externalData
  /// Incompatible features with these names.
  case unknownFeatures([String])
  /// An unknown method of compression.
  case compression(UInt8)
  /// Refcounts of 2 to the power of this many bits.
  case refcountOrder(UInt32)
  /// A disk of this many bytes.
  case size(UInt64)
  /// A table of this name does not fit its purpose or the file; how in words.
  case table(String, String)
  /// Two parts of the metadata, by their names, share a place.
  case overlap(String, String)
  /// A header extension that is no such thing.
  case extensions
  /// A name of a backing file that is not in the header's cluster.
  case backingName
  /// The image was marked as corrupt when an earlier user found it so.
  case markedCorrupt
  /// So many errors were found in the metadata of an image that was not closed.
  case damaged(UInt64)
  /// The metadata is more than can be checked in memory.
  case tooLargeToCheck
  /// Clusters with subclusters need clusters of at least 16 KiB.
  case subclusters

  /// What is wrong, with the value, and what to do.
  public var description: String {
    switch self {
    case .truncated: "the file ends within its header"
    case .noMagic: "it is not a qcow2 image"
    case .version(let version): "its version is \(version); only 2 and 3 are known"
    case .clusterBits(let bits): "its cluster size is 2 to the power of \(bits) bytes; 9 to 21 are possible"
    case .headerLength(let length): "its header has \(length) bytes, which is not possible"
    case .encrypted: "it is encrypted, which is not supported; decrypt it with qemu-img convert"
    case .externalData: "its content is in an external data file, which is not supported; make one file of it with qemu-img convert"
    case .unknownFeatures(let names): "it needs features that are not supported: \(names.joined(separator: ", "))"
    case .compression(let type): "its compression method \(type) is not known; zlib and zstd are"
    case .refcountOrder(let order): "its refcounts have 2 to the power of \(order) bits; 0 to 6 are possible"
    case .size(let size): "its disk has \(size) bytes, which is not possible; a multiple of 512 is needed that its tables can hold"
    case .table(let name, let reason): "its \(name) \(reason); qemu-img check may help"
    case .overlap(let first, let second): "its \(first) and \(second) are in the same place"
    case .extensions: "its header extensions are malformed"
    case .backingName: "the name of its backing file is malformed"
    case .markedCorrupt: "it is marked as corrupt; repair it with crosvm disk repair or qemu-img check -r all, or open it read-only"
    case .damaged(let count):
      "it was not closed, and has \(count) error\(count == 1 ? "" : "s"); repair it with crosvm disk repair or qemu-img check -r all, or open it read-only"
    case .tooLargeToCheck: "it has more metadata than can be checked"
    case .subclusters: "it has subclusters in clusters of less than 16 KiB"
    }
  }
}

/// An operation on an image that failed, with the reason that its user gets (`errno`).
public struct DiskFailure: Error, Equatable, Sendable {
  /// The value of `errno`.
  public let code: Int32

  /// Makes a failure.
  public init(_ code: Int32) { self.code = code }
}
