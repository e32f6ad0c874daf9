package import Bus

/// A device whose registers are one byte wide, as those of most of a PC's old devices: a wider access is taken apart, lowest byte first,
/// as the bridge to such a device does.
package protocol ByteRegisters: BusDevice {
  /// Answers the load of a byte; all ones where there is no register.
  func readByte(_ offset: UInt64) -> UInt8
  /// Takes the store of a byte; ignored where there is no register.
  func writeByte(_ offset: UInt64, _ value: UInt8)
}

extension ByteRegisters {
  /// Loads byte by byte.
  public func read(offset: UInt64, width: Int) -> UInt64 {
    if width == 1 { return UInt64(readByte(offset)) }
    var value: UInt64 = 0
    for index in 0..<UInt64(min(max(width, 0), 8)) {
      let (place, overflow) = offset.addingReportingOverflow(index)
      value |= UInt64(overflow ? 0xff : readByte(place)) << (8 * index)
    }
    return value
  }

  /// Stores byte by byte.
  public func write(offset: UInt64, width: Int, value: UInt64) {
    for index in 0..<UInt64(min(max(width, 0), 8)) {
      let (place, overflow) = offset.addingReportingOverflow(index)
      if !overflow { writeByte(place, UInt8(truncatingIfNeeded: value >> (8 * index))) }
    }
  }
}
