public import Platform

/// The address of a network card.
public struct MACAddress: Hashable, Sendable, CustomStringConvertible {
  /// The six bytes as a number, the first in bits 40 to 47.
  public let rawValue: UInt64

  /// Makes an address of the low 48 bits of a number.
  public init(rawValue: UInt64) { self.rawValue = rawValue & 0xffff_ffff_ffff }

  /// Makes an address of six bytes in their order; `nil` for any other number of bytes.
  public init?(_ bytes: some Collection<UInt8>) {
    guard bytes.count == MACAddress.size else { return nil }
    rawValue = bytes.reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// Reads six pairs of hexadecimal digits with colons or hyphens between them; `nil` for anything else.
  public init?(_ text: String) {
    let parts = text.split(omittingEmptySubsequences: false) { $0 == ":" || $0 == "-" }
    guard parts.allSatisfy({ $0.utf8.count == 2 && $0.allSatisfy(\.isHexDigit) }) else { return nil }
    self.init(parts.compactMap { UInt8($0, radix: 16) })
  }

  /// The number of bytes.
  public static let size = 6

  /// All stations.
  public static let broadcast = MACAddress(rawValue: 0xffff_ffff_ffff)

  /// Whether it names a group of cards: the lowest bit of the first byte.
  public var isGroup: Bool { rawValue & 1 << 40 != 0 }

  /// Whether one card can have it: it is no group's, and not zero.
  public var isUsable: Bool { !isGroup && rawValue != 0 }

  /// The bytes in their order.
  public var bytes: [UInt8] { (0..<MACAddress.size).map { UInt8(truncatingIfNeeded: rawValue >> UInt64(40 - 8 * $0)) } }

  /// Pairs of hexadecimal digits with colons between them.
  public var description: String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
  }

  /// Makes up an address that no card was sold with: locally administered, not a group's.
  public static func random() throws(SystemError) -> MACAddress {
    var value: UInt64 = 0
    // Eight bytes, which any bits are a value of.
    unsafe try KernelRandom.fill(&value, count: MemoryLayout<UInt64>.size)
    return MACAddress(rawValue: value & ~(0x03 << 40) | 0x02 << 40)
  }
}
