public import Platform

/// Why an access to guest memory, or the making of it, failed.
public enum GuestMemoryError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The bytes are not all in one region of guest RAM; `count` may be any value a guest chose.
  case outOfRange(GuestAddress, count: UInt64)
  /// An atomic access at an address that is not a multiple of its size.
  case misaligned(GuestAddress)
  /// Regions are empty, not page-aligned, touch, overlap, or exceed what the process can map.
  case badLayout(String)
  /// A system call on guest memory failed.
  case system(SystemError)
  /// A file ended before the bytes asked for were read.
  case endOfFile(offset: UInt64, missing: UInt64)

  /// The failure in words, with the values and, where there is one, the remedy.
  public var description: String {
    switch self {
    case .outOfRange(let address, let count): "guest address \(address) (\(count) bytes) is not in guest memory"
    case .misaligned(let address): "guest address \(address) is not aligned"
    case .badLayout(let reason): "guest memory cannot be laid out: \(reason)"
    case .system(let error): error.description
    case .endOfFile(let offset, let missing): "the file ends \(missing) bytes too early (reading from offset \(offset))"
    }
  }
}
