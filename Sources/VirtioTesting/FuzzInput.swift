/// Reads a fuzzer's bytes as a sequence of choices; zeros when they are used up. The same bytes give the same choices always.
public struct FuzzInput: Sendable {
  private let bytes: [UInt8]
  private var next = 0

  /// Begins with the first of the bytes.
  public init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// Whether all bytes are used up.
  public var isEmpty: Bool { next >= bytes.count }

  /// The next byte.
  public mutating func byte() -> UInt8 {
    guard next < bytes.count else { return 0 }
    defer { next += 1 }
    return bytes[next]
  }

  /// The next two bytes, little-endian.
  public mutating func word() -> UInt16 { UInt16(byte()) | UInt16(byte()) << 8 }

  /// The next eight bytes.
  public mutating func long() -> UInt64 { (0..<4).reduce(0) { value, _ in value << 16 | UInt64(word()) } }

  /// A number below `count`, which is 1...256, from the next byte.
  public mutating func choice(_ count: Int) -> Int { Int(byte()) % count }

  /// The lowest bit of the next byte.
  public mutating func flag() -> Bool { byte() & 1 == 1 }
}
