/// A device's configuration space as little-endian bytes (virtio 1.2, section 2.5), so that no device reads integers byte by byte.
///
/// A value type: a device whose configuration never changes keeps it in a `let`, another guards it with a `Mutex`.
public struct ConfigurationSpace: Sendable, Equatable {
  /// The bytes as the driver sees them.
  public private(set) var bytes: [UInt8]

  /// Makes a space of `size` zero bytes.
  public init(size: Int = 0) { bytes = [UInt8](repeating: 0, count: max(0, size)) }

  /// Appends a field at the end of the space.
  public mutating func append<T: FixedWidthInteger & UnsignedInteger>(_ value: T) {
    for shift in stride(from: 0, to: T.bitWidth, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> T(shift))) }
  }

  /// Appends bytes at the end of the space.
  public mutating func append(contentsOf more: [UInt8]) { bytes.append(contentsOf: more) }

  /// Sets the field at `offset`, for the device's own use; what lies beyond the end is dropped.
  public mutating func set<T: FixedWidthInteger & UnsignedInteger>(_ value: T, at offset: Int) {
    write(offset: UInt64(clamping: offset), width: T.bitWidth / 8, value: UInt64(truncatingIfNeeded: value))
  }

  /// Reads as `VirtioDevice.readConfiguration` does: `width` (1...8) bytes from `offset` (any value), zero beyond the end.
  public func read(offset: UInt64, width: Int) -> UInt64 {
    guard offset < UInt64(bytes.count) else { return 0 }
    let first = Int(offset)
    var value: UInt64 = 0
    for index in 0..<min(max(0, width), 8, bytes.count - first) { value |= UInt64(bytes[first + index]) << UInt64(8 * index) }
    return value
  }

  /// Writes the low `width` (1...8) bytes of `value` at `offset` (any value); what lies beyond the end is dropped.
  ///
  /// Which fields a driver may write is the device's decision: it calls this only for those.
  public mutating func write(offset: UInt64, width: Int, value: UInt64) {
    guard offset < UInt64(bytes.count) else { return }
    let first = Int(offset)
    for index in 0..<min(max(0, width), 8, bytes.count - first) {
      bytes[first + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
    }
  }
}
