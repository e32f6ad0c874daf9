/// Takes values such as `disk.img,ro,queues=4,id="a,b",sizes=[64,64]` apart.
///
///     fields = field *("," field)
///     field  = [key "="] value
///     value  = quoted / list / word [list]
///     list   = "[" [fields] "]"
///     quoted = DQUOTE *(character / "\" DQUOTE / "\\") DQUOTE
///     key    = letter *(letter / digit / "-" / "_")
///
/// A word ends at a comma or a bracket. A first "=" after what is no key belongs to the word, as in `/images/size=1.img`.
public struct ValueParser {
  private let bytes: [UInt8]
  private var position = 0
  private var depth = 0

  /// How deeply lists may lie in lists.
  public static let depthLimit = 16

  private init(_ bytes: [UInt8]) {
    self.bytes = bytes
  }

  /// Takes a value apart.
  ///
  /// - Parameter value: The value as the user gave it.
  /// - Returns: Its fields, at least one.
  /// - Throws: What is wrong, with a position from 0 to the number of bytes.
  public static func fields(in value: String) throws(ValueError) -> [ValueItem] {
    try fields(in: Array(value.utf8))
  }

  /// Takes a value apart that may be any bytes at all; what is not UTF-8 is repaired.
  ///
  /// - Parameter bytes: The bytes of the value.
  /// - Returns: Its fields, at least one.
  /// - Throws: What is wrong, with a position from 0 to the number of bytes.
  public static func fields(in bytes: [UInt8]) throws(ValueError) -> [ValueItem] {
    var parser = ValueParser(bytes)
    let items = try parser.fields()
    guard parser.position == bytes.count else {
      throw ValueError("there is a ] without its [", at: parser.position, remedy: "put a value that contains ] in double quotes")
    }
    return items
  }

  private var next: UInt8? {
    position < bytes.count ? bytes[position] : nil
  }

  private mutating func skip(_ byte: UInt8) -> Bool {
    guard next == byte else { return false }
    position += 1
    return true
  }

  private func text(from start: Int) -> String {
    String(decoding: bytes[start..<position], as: UTF8.self)
  }

  private mutating func fields() throws(ValueError) -> [ValueItem] {
    var items: [ValueItem] = []
    repeat {
      items.append(try field())
    } while skip(.comma)
    return items
  }

  private mutating func field() throws(ValueError) -> ValueItem {
    let start = position
    guard let key = key() else { return ValueItem(key: nil, value: try value(of: nil), at: start) }
    return ValueItem(key: key, value: try value(of: key), at: start)
  }

  /// A key and its "=", or nothing at all.
  private mutating func key() -> String? {
    let start = position
    guard let first = next, first.isLetter else { return nil }
    while let byte = next, byte.isLetter || byte.isDigit || byte == .hyphen || byte == .underscore {
      position += 1
    }
    guard next == .equals else {
      position = start
      return nil
    }
    let key = text(from: start)
    position += 1
    return key
  }

  private mutating func value(of key: String?) throws(ValueError) -> ValueNode {
    let start = position
    switch next {
    case .quote:
      return ValueNode(.text(try quotedText()), at: start)
    case .opening:
      return ValueNode(.list(try list()), at: start)
    case nil, .comma, .closing:
      guard let key else {
        let problem = bytes.isEmpty ? "the value is empty" : "a field is empty"
        throw ValueError(problem, at: start, remedy: bytes.isEmpty ? "give one" : "drop the comma or give a field")
      }
      throw ValueError("the key \(quoted(key)) has no value", at: start, remedy: "give \(key)=VALUE")
    default:
      let word = try word()
      guard next == .opening else { return ValueNode(.text(word), at: start) }
      return ValueNode(.variant(word, try list()), at: start)
    }
  }

  private mutating func word() throws(ValueError) -> String {
    let start = position
    while let byte = next, byte != .comma, byte != .opening, byte != .closing {
      guard byte != .quote else {
        throw ValueError(
          "there is a double quote within a word", at: position, remedy: "put the whole value in double quotes, with \\\" within")
      }
      position += 1
    }
    return text(from: start)
  }

  private mutating func quotedText() throws(ValueError) -> String {
    let start = position
    position += 1
    var content: [UInt8] = []
    while let byte = next, byte != .quote {
      position += 1
      guard byte == .backslash else {
        content.append(byte)
        continue
      }
      guard let escaped = next, escaped == .quote || escaped == .backslash else {
        throw ValueError(
          "there is a lone \\ within double quotes", at: position - 1, remedy: "write \\\\ for a backslash, \\\" for a quote")
      }
      content.append(escaped)
      position += 1
    }
    guard skip(.quote) else {
      throw ValueError("the double quote is never closed", at: start, remedy: "add one at the end of the value")
    }
    try requireEnd(after: "the closing double quote")
    return String(decoding: content, as: UTF8.self)
  }

  private mutating func list() throws(ValueError) -> [ValueItem] {
    let start = position
    guard depth < ValueParser.depthLimit else {
      throw ValueError("lists lie more than \(ValueParser.depthLimit) deep", at: start, remedy: "drop brackets")
    }
    depth += 1
    defer { depth -= 1 }
    position += 1
    let items = next == .closing ? [] : try fields()
    guard skip(.closing) else {
      throw ValueError("the [ is never closed", at: start, remedy: "add ] at the end of the list")
    }
    try requireEnd(after: "the ]")
    return items
  }

  private func requireEnd(after what: String) throws(ValueError) {
    switch next {
    case nil, .comma, .closing: return
    default:
      throw ValueError("there is more after \(what)", at: position, remedy: "put a comma between, or the whole value in double quotes")
    }
  }
}

extension UInt8 {
  fileprivate static let comma = UInt8(ascii: ",")
  fileprivate static let equals = UInt8(ascii: "=")
  fileprivate static let quote = UInt8(ascii: "\"")
  fileprivate static let backslash = UInt8(ascii: "\\")
  fileprivate static let opening = UInt8(ascii: "[")
  fileprivate static let closing = UInt8(ascii: "]")
  fileprivate static let hyphen = UInt8(ascii: "-")
  fileprivate static let underscore = UInt8(ascii: "_")

  fileprivate var isLetter: Bool {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self | 0x20)
  }

  fileprivate var isDigit: Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self)
  }
}
