/// A console's own state: a version, a 64-bit count of printed bytes, the state of the port's control, and the undelivered input.
struct ConsoleSnapshot {
  private static let version: UInt8 = 2
  private static let headerSize = 10

  let printed: UInt64
  let control: UInt8
  let input: [UInt8]

  init(printed: UInt64, control: UInt8, input: [UInt8]) {
    self.printed = printed
    self.control = control
    self.input = input
  }

  init(_ bytes: [UInt8]) throws(DeviceStateError) {
    guard bytes.count >= ConsoleSnapshot.headerSize, bytes[0] == ConsoleSnapshot.version else {
      throw DeviceStateError("\(bytes.count) bytes are no console's state of version \(ConsoleSnapshot.version)")
    }
    guard bytes.count - ConsoleSnapshot.headerSize <= ConsoleInput.capacity else {
      throw DeviceStateError(
        "a console keeps at most \(ConsoleInput.capacity) bytes of input, not \(bytes.count - ConsoleSnapshot.headerSize)")
    }
    printed = bytes[1..<9].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    control = bytes[9]
    input = Array(bytes[ConsoleSnapshot.headerSize...])
  }

  var encoded: [UInt8] {
    [ConsoleSnapshot.version] + (0..<8).map { UInt8(truncatingIfNeeded: printed >> (8 * $0)) } + [control] + input
  }
}
