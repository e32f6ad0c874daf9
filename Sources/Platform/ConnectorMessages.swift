/// What a process in a sandbox asks of its connector, a process outside that connects Unix sockets for it: to one of a family of paths,
/// which all begin alike and end in a decimal number.
public struct ConnectorRequest: Equatable, Sendable {
  /// The number of bytes of the encoded form.
  public static let size = 5

  /// The end of the path.
  public let number: UInt32
  /// Whether the socket has sequenced packets instead of a stream.
  public let isSequenced: Bool

  /// Makes a request.
  public init(number: UInt32, isSequenced: Bool) {
    self.number = number
    self.isSequenced = isSequenced
  }

  /// Reads what `encoded` wrote; nil for anything else.
  public init?(_ bytes: [UInt8]) {
    guard bytes.count == ConnectorRequest.size, bytes[4] <= 1 else { return nil }
    number = bytes[..<4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    isSequenced = bytes[4] == 1
  }

  /// The form for the connector.
  public var encoded: [UInt8] {
    var writer = ByteWriter()
    writer.put(number)
    writer.put(isSequenced)
    return writer.bytes
  }
}

/// What a connector answers; the connected socket, non-blocking, comes beside it.
public struct ConnectorAnswer: Equatable, Sendable {
  /// The number of bytes of the encoded form.
  public static let size = 4

  /// Zero, or why there is no socket: an `errno`.
  public let code: Int32

  /// Makes an answer.
  public init(code: Int32) { self.code = code }

  /// Reads what `encoded` wrote; nil for anything else.
  public init?(_ bytes: [UInt8]) {
    guard bytes.count == ConnectorAnswer.size else { return nil }
    code = Int32(bitPattern: bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) })
  }

  /// The form for the asking process.
  public var encoded: [UInt8] {
    var writer = ByteWriter()
    writer.put(code)
    return writer.bytes
  }
}
