/// Encodes ACPI machine language (ACPI 6.5, chapter 20): each function gives the bytes of one term.
enum AML {
  /// `DefinitionBlock` contents under a path: `Scope (path) { ... }`.
  static func scope(_ path: String, _ terms: [[UInt8]]) -> [UInt8] { [0x10] + withLength(name(path) + terms.joined()) }

  /// `Device (path) { ... }`.
  static func device(_ path: String, _ terms: [[UInt8]]) -> [UInt8] { [0x5b, 0x82] + withLength(name(path) + terms.joined()) }

  /// `Name (path, value)`.
  static func named(_ path: String, _ value: [UInt8]) -> [UInt8] { [0x08] + name(path) + value }

  /// `Method (path, arguments, NotSerialized or Serialized) { ... }`.
  static func method(_ path: String, arguments: UInt8, isSerialized: Bool = false, _ terms: [[UInt8]]) -> [UInt8] {
    [0x14] + withLength(name(path) + [arguments & 7 | (isSerialized ? 8 : 0)] + terms.joined())
  }

  /// `If (condition) { ... }`.
  static func whenever(_ condition: [UInt8], _ terms: [[UInt8]]) -> [UInt8] { [0xa0] + withLength(condition + terms.joined()) }

  /// `Else { ... }`, after an `If`.
  static func otherwise(_ terms: [[UInt8]]) -> [UInt8] { [0xa1] + withLength(Array(terms.joined())) }

  /// `Return (value)`.
  static func returning(_ value: [UInt8]) -> [UInt8] { [0xa4] + value }

  /// `left == right`.
  static func equal(_ left: [UInt8], _ right: [UInt8]) -> [UInt8] { [0x93] + left + right }

  /// `left != right`.
  static func different(_ left: [UInt8], _ right: [UInt8]) -> [UInt8] { [0x92] + equal(left, right) }

  /// `target |= value`.
  static func setBits(_ value: [UInt8], in target: [UInt8]) -> [UInt8] { [0x7d] + target + value + target }

  /// `CreateDWordField (buffer, offset, path)`.
  static func doubleWordField(of buffer: [UInt8], at offset: UInt64, _ path: String) -> [UInt8] {
    [0x8a] + buffer + integer(offset) + name(path)
  }

  /// `Arg0` to `Arg6`.
  static func argument(_ number: UInt8) -> [UInt8] { [0x68 + min(number, 6)] }

  /// `Package () { ... }` of at most 255 elements.
  static func package(_ elements: [[UInt8]]) -> [UInt8] { [0x12] + withLength([UInt8(clamping: elements.count)] + elements.joined()) }

  /// `Buffer () { ... }`.
  static func buffer(_ bytes: [UInt8]) -> [UInt8] { [0x11] + withLength(integer(UInt64(bytes.count)) + bytes) }

  /// An integer in its shortest form.
  static func integer(_ value: UInt64) -> [UInt8] {
    var bytes = TableBytes()
    switch value {
    case 0, 1: bytes.append(UInt8(value))
    case ...0xff:
      bytes.append(UInt8(0x0a))
      bytes.append(UInt8(value))
    case ...0xffff:
      bytes.append(UInt8(0x0b))
      bytes.append(UInt16(value))
    case ...0xffff_ffff:
      bytes.append(UInt8(0x0c))
      bytes.append(UInt32(value))
    default:
      bytes.append(UInt8(0x0e))
      bytes.append(value)
    }
    return bytes.bytes
  }

  /// A string of ASCII characters.
  static func string(_ text: String) -> [UInt8] { [0x0d] + text.utf8 + [0] }

  /// `EisaId (text)`: three capital letters and four hexadecimal digits, packed into 32 bits (19.6.36).
  static func eisaID(_ text: String) -> [UInt8] {
    let characters = Array(text.utf8)
    let letters = characters.prefix(3).reduce(UInt32(0)) { $0 << 5 | UInt32($1 & 0x1f) }
    let digits = UInt32(text.dropFirst(3), radix: 16) ?? 0
    let packed = letters << 16 | digits & 0xffff
    // Stored with the most significant byte first.
    return [0x0c] + stride(from: 24, through: 0, by: -8).map { UInt8(truncatingIfNeeded: packed >> UInt32($0)) }
  }

  /// A name or path: segments of up to four characters joined by `.`, after `\` for the root.
  static func name(_ path: String) -> [UInt8] {
    let isAbsolute = path.hasPrefix("\\")
    let segments = path.dropFirst(isAbsolute ? 1 : 0).split(separator: ".").map { segment in
      Array(segment.utf8.prefix(4)) + repeatElement(0x5f, count: max(0, 4 - segment.utf8.count))
    }
    let prefix: [UInt8]
    switch segments.count {
    case 0: prefix = [0x00]
    case 1: prefix = []
    case 2: prefix = [0x2e]
    default: prefix = [0x2f, UInt8(clamping: segments.count)]
    }
    return (isAbsolute ? [0x5c] : []) + prefix + segments.joined()
  }

  /// `body` after its package length, which counts itself (20.2.4).
  private static func withLength(_ body: [UInt8]) -> [UInt8] {
    // One byte holds 6 bits. Else the first holds 4 and the number of those that follow, with 8 bits each.
    if body.count + 1 < 1 << 6 { return [UInt8(body.count + 1)] + body }
    var following = 1
    while body.count + 1 + following >= 1 << (4 + 8 * following) { following += 1 }
    let length = body.count + 1 + following
    let rest = (0..<following).map { UInt8(truncatingIfNeeded: length >> (4 + 8 * $0)) }
    return [UInt8(following << 6 | length & 0xf)] + rest + body
  }
}
