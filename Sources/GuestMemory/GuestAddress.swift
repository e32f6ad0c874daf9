/// A guest-physical address.
public struct GuestAddress: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The address in bytes from zero.
  public let rawValue: UInt64

  /// Makes an address.
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// Makes an address.
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }

  /// Orders addresses from zero up.
  public static func < (left: GuestAddress, right: GuestAddress) -> Bool { left.rawValue < right.rawValue }

  /// The address `count` bytes on; `nil` where that wraps.
  public func advanced(by count: UInt64) -> GuestAddress? {
    let (sum, overflow) = rawValue.addingReportingOverflow(count)
    return overflow ? nil : GuestAddress(sum)
  }

  /// The address in hexadecimal.
  public var description: String { "0x" + String(rawValue, radix: 16) }
}
