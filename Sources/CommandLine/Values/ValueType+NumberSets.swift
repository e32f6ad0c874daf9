extension ValueType where Value == Set<Int> {
  /// A set of numbers such as `0,2-3`.
  ///
  /// - Parameters:
  ///   - range: Which numbers may be given.
  ///   - placeholder: What stands for it in help.
  public static func numberSet(_ range: ClosedRange<Int>, _ placeholder: String) -> ValueType {
    let expected = "numbers from \(range.lowerBound) to \(range.upperBound), as in 0,2-3"
    return ValueType(ValueShape(placeholder, expected: expected)) { node throws(ValueError) in
      let text = try node.text(expected: expected)
      return try set(of: text[...], in: range, expected: expected, at: node.position)
    }
  }
}

extension ValueType where Value == [Int: Set<Int>] {
  /// A set of numbers for each key, such as `0=0,2-3:1=4`.
  ///
  /// - Parameters:
  ///   - keys: Which keys may be given.
  ///   - range: Which numbers may be given.
  ///   - placeholder: What stands for it in help.
  public static func numberSets(_ keys: ClosedRange<Int>, _ range: ClosedRange<Int>, _ placeholder: String) -> ValueType {
    let expected = "a set for each, as in 0=0,2-3:1=4"
    return ValueType(ValueShape(placeholder, expected: expected)) { node throws(ValueError) in
      let text = try node.text(expected: expected)
      var sets: [Int: Set<Int>] = [:]
      for part in text.split(separator: ":", omittingEmptySubsequences: false) {
        let position = node.position + text.offset(of: part)
        guard let equals = part.firstIndex(of: "=") else {
          throw ValueError("\(quoted(String(part))) has no =", at: position, remedy: "give \(expected)")
        }
        let key = try number(
          String(part[..<equals]), in: keys, expected: "a whole number from \(keys.lowerBound) to \(keys.upperBound)", at: position)
        let numbers = part[part.index(after: equals)...]
        let set = try set(of: numbers, in: range, expected: expected, at: node.position + text.offset(of: numbers))
        guard sets.updateValue(set, forKey: key) == nil else {
          throw ValueError("there are two sets for \(key)", at: position, remedy: "join them with a comma")
        }
      }
      return sets
    }
  }
}

private func set(of text: Substring, in range: ClosedRange<Int>, expected: String, at position: Int) throws(ValueError) -> Set<Int> {
  var set: Set<Int> = []
  for part in text.split(separator: ",", omittingEmptySubsequences: false) {
    let place = position + text.utf8.distance(from: text.startIndex, to: part.startIndex)
    guard !part.isEmpty else { throw ValueError("a number is missing", at: place, remedy: "give \(expected)") }
    guard let hyphen = part.firstIndex(of: "-") else {
      set.insert(try number(String(part), in: range, expected: expected, at: place))
      continue
    }
    let first = try number(String(part[..<hyphen]), in: range, expected: expected, at: place)
    let last = try number(String(part[part.index(after: hyphen)...]), in: range, expected: expected, at: place)
    guard first <= last else {
      throw ValueError("the range \(part) is reversed", at: place, remedy: "give \(last)-\(first)")
    }
    set.formUnion(first...last)
  }
  return set
}

extension String {
  /// How many bytes lie before a part of this text.
  fileprivate func offset(of part: Substring) -> Int {
    utf8.distance(from: startIndex, to: part.startIndex)
  }
}
