/// The first line of a host program: `CONNECT 1234`, with a line feed at its end.
enum VsockGreeting: Equatable {
  /// The line has not ended yet.
  case incomplete
  /// It is something else.
  case wrong
  /// The guest's port, and the number of bytes of the line.
  case connect(port: UInt32, length: Int)

  /// The longest line, in bytes: with the longest number.
  static let longest = "CONNECT 4294967295\n".utf8.count

  private static let word = Array("CONNECT ".utf8)

  /// Reads a line.
  ///
  /// - Parameters:
  ///   - bytes: What came so far, at most `longest` bytes.
  ///   - isWhole: Whether nothing may come after the line.
  init(_ bytes: [UInt8], isWhole: Bool) {
    guard let end = bytes.firstIndex(of: UInt8(ascii: "\n")) else {
      self = bytes.count < VsockGreeting.longest && VsockGreeting.begins(bytes) ? .incomplete : .wrong
      return
    }
    let digits = bytes[..<end].dropFirst(VsockGreeting.word.count)
    guard VsockGreeting.begins(bytes), !isWhole || end == bytes.count - 1, digits.allSatisfy({ (0x30...0x39).contains($0) }),
      let port = UInt32(String(decoding: digits, as: UTF8.self)), port != .max
    else {
      self = .wrong
      return
    }
    self = .connect(port: port, length: end + 1)
  }

  /// Whether bytes begin as the line does, in capital or small letters.
  private static func begins(_ bytes: [UInt8]) -> Bool {
    zip(bytes, word).allSatisfy { byte, letter in byte == letter || (letter != UInt8(ascii: " ") && byte == letter | 0x20) }
  }
}
