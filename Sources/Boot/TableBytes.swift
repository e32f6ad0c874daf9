/// The bytes of a table under construction: little-endian integers and fixed-width text, one after the other.
struct TableBytes {
  private(set) var bytes: [UInt8] = []

  var count: Int { bytes.count }

  mutating func append<Value: FixedWidthInteger>(_ value: Value) {
    for shift in stride(from: 0, to: Value.bitWidth, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> Value(shift))) }
  }

  mutating func append(bytes more: [UInt8]) { bytes.append(contentsOf: more) }

  mutating func append(zeros count: Int) { bytes.append(contentsOf: repeatElement(0, count: count)) }

  /// Appends `width` bytes of text, cut or padded with `padding`.
  mutating func append(text: String, width: Int, padding: UInt8 = 0x20) {
    let kept = text.utf8.prefix(width)
    bytes.append(contentsOf: kept)
    bytes.append(contentsOf: repeatElement(padding, count: width - kept.count))
  }

  /// Overwrites an integer at `offset`; the table is already that long.
  mutating func set<Value: FixedWidthInteger>(_ value: Value, at offset: Int) {
    for index in 0..<Value.bitWidth / 8 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> Value(8 * index)) }
  }

  /// Overwrites bytes at `offset`; the table is already that long.
  mutating func set(bytes more: [UInt8], at offset: Int) { bytes.replaceSubrange(offset..<offset + more.count, with: more) }

  /// Sets the byte at `offset` so that the bytes in `range` (all of them by default) add up to 0 modulo 256.
  mutating func setChecksum(at offset: Int, over range: Range<Int>? = nil) {
    bytes[offset] = 0
    let sum = bytes[range ?? 0..<bytes.count].reduce(UInt8(0), &+)
    bytes[offset] = 0 &- sum
  }
}
