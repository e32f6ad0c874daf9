/// Puts a snapshot's values one after the other, least significant byte first.
package struct StateWriter {
  /// What was written.
  package private(set) var bytes: [UInt8] = []

  /// Begins with nothing.
  package init() {}

  /// Appends an integer.
  package mutating func put<T: FixedWidthInteger>(_ value: T) {
    for shift in stride(from: 0, to: T.bitWidth, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> T(shift))) }
  }

  /// Appends a truth value.
  package mutating func put(_ value: Bool) { bytes.append(value ? 1 : 0) }

  /// Appends bytes with their count before them.
  package mutating func put(_ value: [UInt8]) {
    put(UInt32(value.count))
    bytes += value
  }
}

/// Reads what a `StateWriter` wrote. A snapshot is a file, and may have been changed: every read can fail.
package struct StateReader {
  private let bytes: [UInt8]
  private var position = 0

  /// Begins at the first byte.
  package init(_ bytes: [UInt8]) { self.bytes = bytes }

  private mutating func take(_ count: Int) throws(PCIError) -> ArraySlice<UInt8> {
    guard count <= bytes.count - position else { throw .badState("it ends too early") }
    defer { position += count }
    return bytes[position..<(position + count)]
  }

  /// Reads an integer.
  package mutating func get<T: FixedWidthInteger>(_ type: T.Type = T.self) throws(PCIError) -> T {
    try take(T.bitWidth / 8).reversed().reduce(0) { $0 << 8 | T(truncatingIfNeeded: $1) }
  }

  /// Reads a truth value.
  package mutating func getBool() throws(PCIError) -> Bool { try get(UInt8.self) != 0 }

  /// Reads bytes with their count before them.
  package mutating func getBytes() throws(PCIError) -> [UInt8] {
    let count = try get(UInt32.self)
    return Array(try take(Int(count)))
  }

  /// Checks that nothing is left.
  package func finish() throws(PCIError) {
    guard position == bytes.count else { throw .badState("it is too long") }
  }
}
