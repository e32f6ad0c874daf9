extension ValueType where Value == Int {
  /// A whole number, decimal or after `0x` hexadecimal.
  ///
  /// - Parameters:
  ///   - range: Which numbers may be given.
  ///   - placeholder: What stands for it in help.
  public static func integer(_ range: ClosedRange<Int>, _ placeholder: String = "N") -> ValueType {
    let expected = "a whole number from \(range.lowerBound) to \(range.upperBound)"
    return ValueType(ValueShape(placeholder, expected: expected)) { node throws(ValueError) in
      let text = try node.text(expected: expected)
      return try number(text, in: range, expected: expected, at: node.position)
    }
  }

  /// One of a few whole numbers.
  ///
  /// - Parameters:
  ///   - numbers: Which numbers may be given.
  ///   - placeholder: What stands for it in help.
  public static func integer(oneOf numbers: [Int], _ placeholder: String = "N") -> ValueType {
    let words = numbers.map { String($0) }
    let expected = alternatives(words)
    return ValueType(ValueShape(placeholder, expected: expected, completion: .words(words))) { node throws(ValueError) in
      let text = try node.text(expected: expected)
      guard case .number(let value) = wholeNumber(text), let value = Int(exactly: value), numbers.contains(value) else {
        throw ValueError("\(quoted(text)) is not possible", at: node.position, remedy: "give \(expected)")
      }
      return value
    }
  }
}

extension ValueType where Value == Int {
  /// One of a few sizes in bytes, which may be given with a unit.
  ///
  /// - Parameters:
  ///   - sizes: Which sizes may be given.
  ///   - placeholder: What stands for it in help.
  public static func size(oneOf sizes: [Int], _ placeholder: String = "SIZE") -> ValueType {
    let numbers = integer(oneOf: sizes, placeholder)
    let size = ValueType<UInt64>.size(.bytes)
    return ValueType(numbers.shape) { node throws(ValueError) in
      guard let value = try? size.parse(node), let value = Int(exactly: value), sizes.contains(value) else {
        return try numbers.parse(node)
      }
      return value
    }
  }
}

extension ValueType where Value == UInt64 {
  /// What a size means that has no unit.
  public enum BareUnit: UInt64, Sendable {
    /// Bytes.
    case bytes = 0
    /// Mebibytes.
    case mebibytes = 20
  }

  /// A size: a whole number with a unit: K, M, G, T, or KiB, MiB, GiB, TiB, which are the same powers of 1024.
  ///
  /// - Parameters:
  ///   - bareUnit: What a number without a unit counts.
  ///   - range: Which sizes may be given, in bytes.
  ///   - placeholder: What stands for it in help.
  public static func size(_ bareUnit: BareUnit, in range: ClosedRange<UInt64> = 0...UInt64.max, _ placeholder: String = "SIZE") -> ValueType
  {
    let bare = bareUnit == .bytes ? "bytes" : "MiB"
    let limits = range == 0...UInt64.max ? "" : ", from \(withUnit(range.lowerBound)) to \(withUnit(range.upperBound))"
    let expected = "a whole number of \(bare), or one with K, M, G or T\(limits)"
    return ValueType(ValueShape(placeholder, expected: expected)) { node throws(ValueError) in
      let text = try node.text(expected: expected)
      let (digits, unit) = splitUnit(text)
      guard unit.allSatisfy(\.isLetter) else {
        throw ValueError("\(quoted(text)) is not a whole number", at: node.position, remedy: "give \(expected)")
      }
      guard let shift = unit.isEmpty ? bareUnit.rawValue : unitShifts[unit] else {
        throw ValueError("\(quoted(text)) has an unknown unit", at: node.position, remedy: "give \(expected)")
      }
      switch wholeNumber(digits) {
      case .none: throw ValueError("\(quoted(text)) is not a size", at: node.position, remedy: "give \(expected)")
      case .number(let count) where count <= UInt64.max >> shift && range.contains(count << shift): return count << shift
      case .number, .tooLarge: throw ValueError("\(quoted(text)) is out of range", at: node.position, remedy: "give \(expected)")
      }
    }
  }
}

/// What a text says as a number without a sign.
private enum WholeNumber {
  case none
  case number(UInt64)
  case tooLarge
}

private let unitShifts: [String: UInt64] = [
  "b": 0, "k": 10, "kib": 10, "m": 20, "mib": 20, "g": 30, "gib": 30, "t": 40, "tib": 40,
]

/// A size as a user writes it.
private func withUnit(_ size: UInt64) -> String {
  for (shift, unit) in [(40, "T"), (30, "G"), (20, "M"), (10, "K")] where size != 0 && size.isMultiple(of: 1 << shift) {
    return "\(size >> shift)\(unit)"
  }
  return "\(size)"
}

/// The number and, in lower case, the unit after it. Hexadecimal digits are no unit.
private func splitUnit(_ text: String) -> (digits: String, unit: String) {
  let isHexadecimal = hexadecimalDigits(text) != nil
  let start = isHexadecimal ? text.index(text.startIndex, offsetBy: 2) : text.startIndex
  let end = text[start...].firstIndex { isHexadecimal ? !$0.isHexDigit : !$0.isASCIIDigit } ?? text.endIndex
  guard end > text.startIndex else { return (text, "") }
  return (String(text[..<end]), text[end...].lowercased())
}

private func hexadecimalDigits(_ text: String) -> Substring? {
  text.hasPrefix("0x") || text.hasPrefix("0X") ? text.dropFirst(2) : nil
}

private func wholeNumber(_ text: String) -> WholeNumber {
  let hexadecimal = hexadecimalDigits(text)
  let digits = hexadecimal ?? text[...]
  guard !digits.isEmpty, digits.allSatisfy({ hexadecimal == nil ? $0.isASCIIDigit : $0.isASCII && $0.isHexDigit }) else { return .none }
  guard let value = UInt64(digits, radix: hexadecimal == nil ? 10 : 16) else { return .tooLarge }
  return .number(value)
}

/// A number in a range, or an error that says which of the two it is not.
func number(_ text: String, in range: ClosedRange<Int>, expected: String, at position: Int) throws(ValueError) -> Int {
  let isNegative = text.hasPrefix("-")
  switch wholeNumber(isNegative ? String(text.dropFirst()) : text) {
  case .none:
    throw ValueError("\(quoted(text)) is not a whole number", at: position, remedy: "give \(expected)")
  case .number(let magnitude):
    let value = isNegative ? Int(exactly: 0 - Int128(magnitude)) : Int(exactly: magnitude)
    guard let value, range.contains(value) else { fallthrough }
    return value
  case .tooLarge:
    throw ValueError("\(quoted(text)) is out of range", at: position, remedy: "give \(expected)")
  }
}

extension Character {
  /// Whether it is one of 0 to 9.
  var isASCIIDigit: Bool { isASCII && isNumber }
}
