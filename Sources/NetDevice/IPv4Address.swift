/// An address of the Internet Protocol, version 4.
public struct IPv4Address: Hashable, Sendable, CustomStringConvertible {
  /// The four bytes as a number, the first in the highest bits.
  public let rawValue: UInt32

  /// Makes an address of a number.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Reads four decimal numbers from 0 to 255 with dots between them; `nil` for anything else.
  public init?(_ text: String) {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 4, parts.allSatisfy({ (1...3).contains($0.utf8.count) && $0.allSatisfy { ("0"..."9").contains($0) } }) else {
      return nil
    }
    let numbers = parts.compactMap { UInt8($0) }
    guard numbers.count == 4 else { return nil }
    rawValue = numbers.reduce(0) { $0 << 8 | UInt32($1) }
  }

  /// Whether it can be a network's mask: ones, then zeroes, and at least one of each.
  public var isNetmask: Bool { rawValue != 0 && rawValue != .max && (~rawValue &+ 1).nonzeroBitCount == 1 }

  /// Whether a host can have it in a network of this mask: it is not that of the network, of all hosts there, or of a group (RFC 1122,
  /// section 3.2.1.3). A network of two has neither of the first (RFC 3021).
  func isUsable(netmask: IPv4Address) -> Bool {
    guard rawValue >> 24 != 0, rawValue >> 28 != 14, rawValue != .max else { return false }
    let host = rawValue & ~netmask.rawValue
    return ~netmask.rawValue == 1 || (host != 0 && host != ~netmask.rawValue)
  }

  /// Numbers with dots between them.
  public var description: String { [24, 16, 8, 0].map { String(rawValue >> UInt32($0) & 255) }.joined(separator: ".") }
}
