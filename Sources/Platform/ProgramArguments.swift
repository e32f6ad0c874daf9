/// The words that a program was started with.
public enum ProgramArguments {
  /// An argument whose bytes are not UTF-8: a name made of other bytes than the user gave would be another file's.
  public struct NotUTF8: Error, Equatable, CustomStringConvertible {
    /// Which argument it is, from 1.
    public let position: Int
    /// Its bytes as text, with replacement characters where they are none.
    public let repaired: String

    /// What is wrong, and what to do.
    public var description: String {
      "an argument is not UTF-8: the \(position). one, \(repaired.debugDescription); give names in UTF-8, or rename the file"
    }
  }

  /// The program's name and its arguments.
  ///
  /// - Throws: `NotUTF8` for the first that cannot be represented.
  public static func read() throws(NotUTF8) -> [String] {
    try texts((0..<Int(CommandLine.argc)).map { unsafe CommandLine.unsafeArgv[$0].map { unsafe bytes(of: $0) } ?? [] })
  }

  /// Words as texts, without any change.
  static func texts(_ words: [[UInt8]]) throws(NotUTF8) -> [String] {
    var texts: [String] = []
    for (position, word) in words.enumerated() {
      guard let text = String(validating: word, as: UTF8.self) else {
        throw NotUTF8(position: position, repaired: String(decoding: word, as: UTF8.self))
      }
      texts.append(text)
    }
    return texts
  }

  /// The bytes before the final zero.
  private static func bytes(of word: UnsafeMutablePointer<CChar>) -> [UInt8] {
    var bytes: [UInt8] = []
    // In bounds: the kernel ends every word with a zero.
    var next = unsafe word
    while case let byte = unsafe UInt8(bitPattern: next.pointee), byte != 0 {
      bytes.append(byte)
      unsafe next += 1
    }
    return bytes
  }
}
