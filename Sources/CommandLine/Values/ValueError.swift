/// What is wrong with the value of an option.
public struct ValueError: Error, Equatable, CustomStringConvertible {
  /// What is wrong, with the value.
  public let problem: String

  /// Where, in bytes from the start of the value; `nil` where the value as a whole is wrong.
  public let position: Int?

  /// What to do instead.
  public let remedy: String

  /// Makes an error.
  ///
  /// - Parameters:
  ///   - problem: What is wrong, with the value.
  ///   - position: Where, in bytes from the start of the value.
  ///   - remedy: What to do instead.
  public init(_ problem: String, at position: Int? = nil, remedy: String) {
    self.problem = problem
    self.position = position
    self.remedy = remedy
  }

  /// The problem and the remedy on one line.
  public var description: String { "\(problem); \(remedy)" }

  /// The problem, its place counted in characters from 1, and the remedy on one line.
  ///
  /// - Parameter value: The whole value.
  public func description(in value: String) -> String {
    guard let position, position > 0 else { return description }
    let before = String(decoding: value.utf8.prefix(position), as: UTF8.self)
    return "\(problem), at character \(before.count + 1); \(remedy)"
  }
}

/// Text that a user gave, fit for a line of a message: in double quotes, control characters escaped, cut where it is long.
public func quoted(_ text: String) -> String {
  let limit = 80
  guard text.unicodeScalars.count > limit else { return text.debugDescription }
  return (String(String.UnicodeScalarView(text.unicodeScalars.prefix(limit))) + "...").debugDescription
}

/// "a", "a or b", "a, b or c".
func alternatives(_ words: [String], conjunction: String = "or") -> String {
  guard let last = words.last, words.count > 1 else { return words.first ?? "" }
  return words.dropLast().joined(separator: ", ") + " \(conjunction) " + last
}
