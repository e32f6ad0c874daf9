/// An option with a value, such as `--mem SIZE`.
public struct Option<Value: Sendable>: Sendable {
  /// What parsing, help, manual pages and completions need to know about it.
  public let description: OptionDescription

  let type: ValueType<Value>

  /// Makes an option.
  ///
  /// - Parameters:
  ///   - name: Its name, without the hyphens.
  ///   - short: Its letter.
  ///   - type: How its value is written.
  ///   - defaultText: What holds where it is not given.
  ///   - isRepeatable: Whether it may be given more than once.
  ///   - summary: What it is for: one or more sentences.
  public init(
    _ name: String, short: Character? = nil, _ type: ValueType<Value>, default defaultText: String? = nil,
    isRepeatable: Bool = false, _ summary: String
  ) {
    self.type = type
    description = OptionDescription(
      name: name, short: short, shape: type.shape, defaultText: defaultText, isRepeatable: isRepeatable, summary: summary)
  }
}

/// An option without a value, such as `--no-rng`.
public struct Flag: Sendable {
  /// What parsing, help, manual pages and completions need to know about it.
  public let description: OptionDescription

  /// Makes a flag.
  ///
  /// - Parameters:
  ///   - name: Its name, without the hyphens.
  ///   - short: Its letter.
  ///   - isFinal: Whether it says all by itself: what follows is not looked at, and nothing need be there.
  ///   - summary: What it is for: one or more sentences.
  public init(_ name: String, short: Character? = nil, isFinal: Bool = false, _ summary: String) {
    description = OptionDescription(
      name: name, short: short, shape: nil, defaultText: nil, isRepeatable: true, isFinal: isFinal, summary: summary)
  }
}

/// What parsing, help, manual pages and completions need to know about an option.
public struct OptionDescription: Sendable {
  /// Its name, without the hyphens.
  public let name: String
  /// Its letter.
  public let short: Character?
  /// How its value is written, `nil` where it has none.
  public let shape: ValueShape?
  /// What holds where it is not given.
  public let defaultText: String?
  /// Whether it may be given more than once.
  public let isRepeatable: Bool
  /// Whether it says all by itself: what follows is not looked at, and nothing need be there.
  public var isFinal = false
  /// What it is for.
  public let summary: String
}

/// An argument that is told by its place, such as `KERNEL`.
public struct Positional<Value: Sendable>: Sendable {
  /// What parsing, help, manual pages and completions need to know about it.
  public let description: PositionalDescription

  let type: ValueType<Value>

  /// Makes an argument.
  ///
  /// - Parameters:
  ///   - name: What stands for it in help.
  ///   - type: How its value is written.
  ///   - isRequired: Whether it must be given.
  ///   - isRepeatable: Whether it may be given more than once. Of the last argument only.
  ///   - summary: What it is for: one or more sentences.
  public init(_ name: String, _ type: ValueType<Value>, isRequired: Bool = true, isRepeatable: Bool = false, _ summary: String) {
    self.type = type
    description = PositionalDescription(
      name: name, shape: type.shape, isRequired: isRequired, isRepeatable: isRepeatable, summary: summary)
  }
}

/// What parsing, help, manual pages and completions need to know about an argument that is told by its place.
public struct PositionalDescription: Sendable {
  /// What stands for it in help.
  public let name: String
  /// How its value is written.
  public let shape: ValueShape
  /// Whether it must be given.
  public let isRequired: Bool
  /// Whether it may be given more than once.
  public let isRepeatable: Bool
  /// What it is for.
  public let summary: String
}

/// Options that belong together, under a heading of their own.
public struct OptionGroup: Sendable {
  /// The heading.
  public let title: String
  /// The options in the order of help.
  public let options: [OptionDescription]

  /// Makes a group.
  ///
  /// - Parameters:
  ///   - title: The heading.
  ///   - options: The options in the order of help.
  public init(_ title: String, _ options: [OptionDescription]) {
    self.title = title
    self.options = options
  }
}
