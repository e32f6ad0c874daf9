/// A message on one of the control queues (virtio 1.2, section 5.3.6.2).
struct ConsoleRequest: Equatable {
  /// What the message says.
  enum Event: UInt16 {
    /// Driver: it is ready for ports (value 1), or cannot go on.
    case deviceReady = 0
    /// Device: there is a port.
    case portAdd = 1
    /// Driver: it is ready for the port (value 1), or cannot use it.
    case portReady = 3
    /// Device: the port is a console.
    case consolePort = 4
    /// Device: the terminal has another size; columns and rows follow.
    case resize = 5
    /// Either side: the port was opened (value 1) or closed.
    case portOpen = 6
  }

  /// The number of bytes of a message without what follows it.
  static let size = 8

  let port: UInt32
  let event: Event
  let value: UInt16

  init(port: UInt32 = 0, event: Event, value: UInt16) {
    (self.port, self.event, self.value) = (port, event, value)
  }

  /// Reads a message; `nil` for one that is too short or of an unknown kind.
  init?(_ bytes: [UInt8]) {
    guard bytes.count >= ConsoleRequest.size, let event = Event(rawValue: UInt16(bytes[4]) | UInt16(bytes[5]) << 8) else { return nil }
    port = bytes[..<4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    self.event = event
    value = UInt16(bytes[6]) | UInt16(bytes[7]) << 8
  }

  /// The message, little-endian.
  var bytes: [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: port >> (8 * $0)) } + ConsoleRequest.bytes(of: event.rawValue) + ConsoleRequest.bytes(of: value)
  }

  /// A number as it stands in a message.
  static func bytes(of number: UInt16) -> [UInt8] { [UInt8(truncatingIfNeeded: number), UInt8(truncatingIfNeeded: number >> 8)] }
}
