/// A copy of a header from a kernel file: integers at any offset, and an error where it is too short.
struct HeaderBytes {
  let bytes: [UInt8]
  /// What the header is, for messages.
  let part: String
  /// Where it begins in the file.
  var fileOffset: UInt64 = 0

  /// Reads a little-endian integer.
  ///
  /// - Throws: `truncated` when it is not all inside.
  func load<Value: FixedWidthInteger & UnsignedInteger>(_ offset: Int, as type: Value.Type = Value.self) throws(KernelProblem) -> Value {
    let width = Value.bitWidth / 8
    guard offset >= 0, offset <= bytes.count, width <= bytes.count - offset else {
      let needed = fileOffset.addingReportingOverflow(UInt64(clamping: offset)).partialValue
      throw .truncated(
        part: part, needed: needed.addingReportingOverflow(UInt64(width)).partialValue, size: fileOffset &+ UInt64(bytes.count))
    }
    var value: Value = 0
    for index in 0..<width { value |= Value(truncatingIfNeeded: bytes[offset + index]) << Value(8 * index) }
    return value
  }
}
