/// A device that answers loads and stores in a range of ports or guest-physical addresses.
///
/// Several vCPU threads may call at once; a device guards its own state. Neither call may block for long: the vCPU waits.
public protocol BusDevice: AnyObject, Sendable {
  /// Answers a load.
  ///
  /// - Parameters:
  ///   - offset: The distance from the start of the range the device was registered for.
  ///   - width: The number of bytes, 1...8; any value and any alignment may come from a guest.
  /// - Returns: The bytes, least significant first; bits above `width` bytes are ignored. What does not exist reads as all ones.
  func read(offset: UInt64, width: Int) -> UInt64

  /// Takes a store of the low `width` bytes of `value`; what does not exist is ignored.
  func write(offset: UInt64, width: Int, value: UInt64)
}

extension BusDevice {
  /// What a load from nowhere returns.
  public static var allOnes: UInt64 { .max }
}

/// A device's place on a bus: a half-open range that does not wrap.
public struct BusRange: Hashable, Sendable {
  /// The first port or guest-physical address.
  public let base: UInt64
  /// The number of ports or bytes, at least 1.
  public let length: UInt64

  /// The last port or address that belongs to the range.
  public var last: UInt64 { base + (length - 1) }

  /// Makes a range; `nil` when it is empty or runs past the end of the address space.
  public init?(base: UInt64, length: UInt64) {
    guard length > 0, !base.addingReportingOverflow(length - 1).overflow else { return nil }
    self.base = base
    self.length = length
  }

  /// Whether the ranges share an address.
  public func overlaps(_ other: BusRange) -> Bool { base <= other.last && other.base <= last }

  /// Whether an access of `width` bytes, at least one, at `address` lies wholly inside.
  public func contains(_ address: UInt64, width: Int) -> Bool {
    guard width > 0, address >= base else { return false }
    let offset = address - base
    return offset < length && length - offset >= UInt64(width)
  }
}
