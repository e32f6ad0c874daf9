/// Puts values one after the other, least significant byte first: what goes to another process or into a saved state.
public struct ByteWriter: Sendable {
  /// What was written.
  public private(set) var bytes: [UInt8] = []

  /// Begins with nothing.
  public init() {}

  /// Appends an integer.
  public mutating func put<T: FixedWidthInteger>(_ value: T) {
    for shift in stride(from: 0, to: T.bitWidth, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> T(shift))) }
  }

  /// Appends a truth value.
  public mutating func put(_ value: Bool) { bytes.append(value ? 1 : 0) }

  /// Appends bytes with their count before them.
  public mutating func put(_ value: [UInt8]) {
    put(UInt32(value.count))
    bytes += value
  }

  /// Appends a text with its length before it.
  public mutating func put(_ text: String) { put(Array(text.utf8)) }
}

/// Reads what a `ByteWriter` wrote. It may have been changed, or come from a hostile process: every read can fail.
public struct ByteReader: Sendable {
  private let bytes: [UInt8]
  private var position = 0

  /// Begins at the first byte.
  public init(_ bytes: [UInt8]) { self.bytes = bytes }

  private mutating func take(_ count: Int) throws(MalformedBytes) -> ArraySlice<UInt8> {
    guard count <= bytes.count - position else { throw MalformedBytes("it ends too early") }
    defer { position += count }
    return bytes[position..<(position + count)]
  }

  /// Reads an integer.
  public mutating func get<T: FixedWidthInteger>(_ type: T.Type = T.self) throws(MalformedBytes) -> T {
    try take(T.bitWidth / 8).reversed().reduce(0) { $0 << 8 | T(truncatingIfNeeded: $1) }
  }

  /// Reads a truth value.
  public mutating func getBool() throws(MalformedBytes) -> Bool { try get(UInt8.self) != 0 }

  /// Reads bytes with their count before them.
  public mutating func getBytes() throws(MalformedBytes) -> [UInt8] {
    let count = try get(UInt32.self)
    return Array(try take(Int(count)))
  }

  /// Reads a text; what is not UTF-8 in it is replaced.
  public mutating func getString() throws(MalformedBytes) -> String { String(decoding: try getBytes(), as: UTF8.self) }

  /// Checks that nothing is left.
  public func finish() throws(MalformedBytes) {
    guard position == bytes.count else { throw MalformedBytes("it is too long") }
  }
}

/// Bytes that are not what they should be.
public struct MalformedBytes: Error, Equatable, Sendable, CustomStringConvertible {
  /// What is wrong with them.
  public let description: String

  /// Makes an error.
  public init(_ description: String) { self.description = description }
}
