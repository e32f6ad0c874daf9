/// A word or a sign of a policy.
struct PolicyToken: Equatable {
  enum Kind: Equatable {
    /// A name, a number, `arg0`, `kill-process`.
    case word
    /// One of `PolicyLexer.signs`.
    case sign
  }

  let kind: Kind
  let text: String
  /// Counted from 1.
  let line: Int
}

/// A statement of a policy: what stands on one line, and on those that `\` joins to it.
enum PolicyStatement: Equatable {
  /// `@include` and the like: the word after `@`, and the rest of the line.
  case directive(name: String, argument: String, line: Int)
  /// Anything else; not empty.
  case tokens([PolicyToken])
}

/// What a policy's text cannot be read as.
struct PolicyProblem: Error, Equatable {
  let line: Int
  let text: String

  init(_ line: Int, _ text: String) {
    self.line = line
    self.text = text
  }
}

/// Cuts a policy's text into statements. Works on bytes, because to Swift a carriage return with a line feed is one character.
enum PolicyLexer {
  /// The longest sign that fits is taken.
  static let signs = ["&&", "||", "==", "!=", "<=", ">=", "{", "}", "(", ")", ",", ":", ";", "|", "&", "~", "<", ">", "="].map {
    Array($0.utf8)
  }

  /// The longest text, in bytes.
  static let longest = 256 << 10

  static func statements(of text: String) throws(PolicyProblem) -> [PolicyStatement] {
    guard text.utf8.count <= longest else { throw PolicyProblem(1, "the file is longer than \(longest) bytes; no policy needs that many") }
    var statements: [PolicyStatement] = []
    var tokens: [PolicyToken] = []
    let lines = text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    for (index, rest) in lines.enumerated() {
      // Nothing, not even `\`, means anything in a comment.
      var line = trimmed(Array(rest.prefix { $0 != UInt8(ascii: "#") })[...])
      let isComplete = line.last != UInt8(ascii: "\\")
      if !isComplete { line = trimmed(line.dropLast()) }
      if tokens.isEmpty && line.first == UInt8(ascii: "@") {
        guard isComplete else { throw PolicyProblem(index + 1, "an @ line goes over one line only; remove the '\\'") }
        statements.append(directive(line.dropFirst(), line: index + 1))
        continue
      }
      try read(line, number: index + 1, into: &tokens)
      if isComplete && !tokens.isEmpty {
        statements.append(.tokens(tokens))
        tokens = []
      }
    }
    if let last = tokens.last {
      throw PolicyProblem(last.line, "the file ends after a '\\'; remove it, or write the line that it announces")
    }
    return statements
  }

  private static func directive(_ line: ArraySlice<UInt8>, line number: Int) -> PolicyStatement {
    let name = line.prefix { !isBlank($0) }
    return .directive(
      name: String(decoding: name, as: UTF8.self), argument: String(decoding: trimmed(line.dropFirst(name.count)), as: UTF8.self),
      line: number)
  }

  private static func read(_ line: ArraySlice<UInt8>, number: Int, into tokens: inout [PolicyToken]) throws(PolicyProblem) {
    var rest = line.drop(while: isBlank)
    while let first = rest.first {
      let word = rest.prefix(while: isPartOfWord)
      if !word.isEmpty {
        tokens.append(PolicyToken(kind: .word, text: String(decoding: word, as: UTF8.self), line: number))
        rest = rest.dropFirst(word.count)
      } else if let sign = signs.first(where: { rest.starts(with: $0) }) {
        tokens.append(PolicyToken(kind: .sign, text: String(decoding: sign, as: UTF8.self), line: number))
        rest = rest.dropFirst(sign.count)
      } else {
        throw PolicyProblem(number, "\(named(first)) means nothing here; remove it")
      }
      rest = rest.drop(while: isBlank)
    }
  }

  private static func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    var bytes = bytes.drop(while: isBlank)
    while let last = bytes.last, isBlank(last) { bytes.removeLast() }
    return bytes
  }

  private static func isBlank(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\r")
  }

  private static func isPartOfWord(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
    case UInt8(ascii: "_"), UInt8(ascii: "-"): true
    default: false
    }
  }

  private static func named(_ byte: UInt8) -> String {
    (0x21...0x7e).contains(byte) ? "'\(Character(UnicodeScalar(byte)))'" : "the byte 0x\(String(byte, radix: 16))"
  }
}
