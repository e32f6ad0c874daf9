/// Reads the fields of a message in the wire format of Protocol Buffers (protobuf.dev, "Encoding"). Any bytes may be hostile.
///
/// swift-protobuf brings Foundation, which a device's process does not load.
struct ProtobufReader {
  /// A field's value.
  enum Value: Equatable {
    /// Wire type 0: integers, truth values, enumerations.
    case varint(UInt64)
    /// Wire type 1.
    case fixed64(UInt64)
    /// Wire type 2: texts, bytes, messages.
    case bytes(ArraySlice<UInt8>)
    /// Wire type 5.
    case fixed32(UInt32)
  }

  private var rest: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

  /// The next field with its number; `nil` at the end.
  ///
  /// - Throws: `CompositeError.malformed`, also for groups, which nobody writes any more.
  mutating func next() throws(CompositeError) -> (field: UInt64, value: Value)? {
    guard !rest.isEmpty else { return nil }
    let tag = try varint()
    // Numbers have 29 bits.
    guard (1..<1 << 29).contains(tag >> 3) else { throw .malformed("a field has the number \(tag >> 3)") }
    switch tag & 7 {
    case 0: return (tag >> 3, .varint(try varint()))
    case 1: return (tag >> 3, .fixed64(try fixed(8)))
    case 2:
      let count = try varint()
      guard count <= UInt64(rest.count) else { throw .malformed("a field of \(count) bytes goes beyond its end") }
      return (tag >> 3, .bytes(take(Int(count))))
    case 5: return (tag >> 3, .fixed32(UInt32(truncatingIfNeeded: try fixed(4))))
    case let type: throw .malformed("a field is of the unknown type \(type)")
    }
  }

  /// Seven bits a byte, the lowest first; the highest bit tells that more follow.
  private mutating func varint() throws(CompositeError) -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: 0, to: 64, by: 7) {
      guard let byte = rest.popFirst() else { break }
      let bits = UInt64(byte & 0x7f)
      guard shift < 63 || bits <= 1 else { throw .malformed("a number has more than 64 bits") }
      value |= bits << UInt64(shift)
      if byte & 0x80 == 0 { return value }
    }
    throw .malformed("a number does not end")
  }

  private mutating func fixed(_ count: Int) throws(CompositeError) -> UInt64 {
    guard rest.count >= count else { throw .malformed("a number goes beyond its end") }
    return take(count).reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// The next bytes; there are as many.
  private mutating func take(_ count: Int) -> ArraySlice<UInt8> {
    defer { rest = rest.dropFirst(count) }
    return rest.prefix(count)
  }
}
