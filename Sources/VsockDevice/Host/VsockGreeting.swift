/// The first line of a host program: `CONNECT 1234`, with a line feed at its end. Blanks may be anywhere but within the words, as Firecracker
/// takes them; so a carriage return before the line feed is one of them.
enum VsockGreeting: Equatable {
  /// The line has not ended yet.
  case incomplete
  /// It is something else.
  case wrong
  /// The guest's port, and the number of bytes of the line.
  case connect(port: UInt32, length: Int)

  /// The longest line, in bytes, as Firecracker has it: the longest number, and some blanks.
  static let longest = 32

  private static let word = Array("CONNECT".utf8)

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
    let words = VsockGreeting.words(bytes[..<end])
    guard words.count == 2, VsockGreeting.isWord(words[0]), !isWhole || end == bytes.count - 1, let port = VsockGreeting.port(words[1])
    else {
      self = .wrong
      return
    }
    self = .connect(port: port, length: end + 1)
  }

  private static func words(_ bytes: ArraySlice<UInt8>) -> [ArraySlice<UInt8>] { bytes.split(whereSeparator: isBlank) }

  /// Blanks of ASCII (char::is_whitespace of Firecracker's language, without those of other alphabets).
  private static func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || (0x09...0x0d).contains(byte) }

  /// Whether bytes are the word, in capital or small letters.
  private static func isWord(_ bytes: ArraySlice<UInt8>) -> Bool { bytes.count == word.count && isBeginning(bytes) }

  /// Whether bytes are the first ones of the word.
  private static func isBeginning(_ bytes: ArraySlice<UInt8>) -> Bool {
    bytes.count <= word.count && zip(bytes, word).allSatisfy { byte, letter in byte == letter || byte == letter | 0x20 }
  }

  /// A port; the very last number means any, and is none.
  private static func port(_ digits: ArraySlice<UInt8>) -> UInt32? {
    guard digits.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt32(String(decoding: digits, as: UTF8.self)), port != .max
    else { return nil }
    return port
  }

  /// Whether bytes without an end may become a line, so that others are not waited for.
  private static func begins(_ bytes: [UInt8]) -> Bool {
    let words = words(bytes[...])
    guard let first = words.first else { return true }
    let isEnded = words.count > 1 || bytes.last.map(isBlank) == true
    guard isEnded ? isWord(first) : isBeginning(first) else { return false }
    // A number that is too large, or the last one of all, stays one with further digits.
    return words.count == 1 || words.count == 2 && port(words[1]) != nil
  }
}
