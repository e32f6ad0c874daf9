/// A piece of an option's value: a word, a list, or a word with a list.
public struct ValueNode: Sendable, Equatable {
  /// What a piece of a value is.
  public enum Content: Sendable, Equatable {
    /// A whole argument, as it was given.
    case argument(String)
    /// A word, without the quotes it may have been written in.
    case text(String)
    /// `[a,b]` or `[key=value,...]`.
    case list([ValueItem])
    /// `word[a,b]`: one of several kinds, with what belongs to it.
    case variant(String, [ValueItem])
  }

  /// What it is.
  public let content: Content

  /// Where it begins, in bytes from the start of the argument.
  public let position: Int

  /// Makes a piece of a value.
  ///
  /// - Parameters:
  ///   - content: What it is.
  ///   - position: Where it begins, in bytes from the start of the argument.
  public init(_ content: Content, at position: Int = 0) {
    self.content = content
    self.position = position
  }

  /// The word, where it is nothing but one.
  ///
  /// - Parameter expected: What the user should have given, as in "give ...".
  /// - Throws: That a list has no place here.
  public func text(expected: String) throws(ValueError) -> String {
    switch content {
    case .argument(let text), .text(let text): return text
    case .list: throw ValueError("a list in [ ] has no place here", at: position, remedy: "give \(expected)")
    case .variant(let name, _):
      throw ValueError(
        "\(quoted(name)) is followed by a list in [ ]", at: position,
        remedy: "give \(expected), in double quotes where brackets belong to it")
    }
  }
}

/// One field of a value: `key=value`, or a value whose key is left out.
public struct ValueItem: Sendable, Equatable {
  /// The key, `nil` where there is none.
  public let key: String?

  /// The value.
  public let value: ValueNode

  /// Where the field begins, in bytes from the start of the argument.
  public let position: Int

  /// Makes a field.
  ///
  /// - Parameters:
  ///   - key: The key, `nil` where there is none.
  ///   - value: The value.
  ///   - position: Where the field begins.
  public init(key: String?, value: ValueNode, at position: Int) {
    self.key = key
    self.value = value
    self.position = position
  }
}
