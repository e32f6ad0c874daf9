/// How a value is written, and what it becomes.
public struct ValueType<Value: Sendable>: Sendable {
  /// What help, manual pages and completions say about it.
  public let shape: ValueShape

  /// Turns what the user wrote into the value.
  let parse: @Sendable (ValueNode) throws(ValueError) -> Value

  /// Makes a type of value.
  ///
  /// - Parameters:
  ///   - shape: What help, manual pages and completions say about it.
  ///   - parse: Turns what the user wrote into the value.
  public init(_ shape: ValueShape, parse: @escaping @Sendable (ValueNode) throws(ValueError) -> Value) {
    self.shape = shape
    self.parse = parse
  }

  /// The value that a text stands for.
  ///
  /// - Parameter text: What the user wrote.
  /// - Throws: What is wrong with it.
  public func value(of text: String) throws(ValueError) -> Value {
    try parse(ValueNode(.argument(text)))
  }

  /// A type that is written in the same way and becomes something else.
  ///
  /// - Parameter transform: Turns a value into the other.
  public func map<Other>(_ transform: @escaping @Sendable (Value) -> Other) -> ValueType<Other> {
    let parse = parse
    return ValueType<Other>(shape) { node throws(ValueError) in transform(try parse(node)) }
  }

  /// The same type, with fields that help does not explain.
  public var withoutExplanation: ValueType {
    var shape = shape
    shape.explainsFields = false
    return ValueType(shape, parse: parse)
  }

  /// The same type under another placeholder.
  ///
  /// - Parameter placeholder: What stands for the value in help.
  public func named(_ placeholder: String) -> ValueType {
    var shape = shape
    shape.placeholder = placeholder
    return ValueType(shape, parse: parse)
  }
}

/// What help, manual pages and completions say about a value.
public struct ValueShape: Sendable {
  /// What a shell may offer for a value.
  public enum Completion: Sendable, Equatable {
    /// Nothing.
    case none
    /// The files of the host.
    case file
    /// The directories of the host.
    case directory
    /// One of these words.
    case words([String])
  }

  /// What stands for the value in help, such as `PATH`.
  public var placeholder: String

  /// What the user should give, as in "give a whole number from 1 to 32".
  public var expected: String

  /// What a shell may offer.
  public var completion: Completion

  /// The fields, where the value has some.
  public var fields: FieldTable?

  /// Whether the name of a field alone, without a value, means true.
  public var isBoolean: Bool

  /// Whether help and manual pages explain the fields. They need not where another option has the same.
  public var explainsFields = true

  /// Makes a description of a value.
  ///
  /// - Parameters:
  ///   - placeholder: What stands for the value in help.
  ///   - expected: What the user should give.
  ///   - completion: What a shell may offer.
  ///   - fields: The fields, where the value has some.
  ///   - isBoolean: Whether the name of a field alone means true.
  public init(
    _ placeholder: String, expected: String, completion: Completion = .none, fields: FieldTable? = nil, isBoolean: Bool = false
  ) {
    self.placeholder = placeholder
    self.expected = expected
    self.completion = completion
    self.fields = fields
    self.isBoolean = isBoolean
  }
}

extension ValueType where Value == String {
  /// Any text, even none.
  ///
  /// - Parameter placeholder: What stands for it in help.
  public static func text(_ placeholder: String) -> ValueType {
    let shape = ValueShape(placeholder, expected: "a text")
    return ValueType(shape) { node throws(ValueError) in try node.text(expected: shape.expected) }
  }

  /// Text that is not empty.
  ///
  /// - Parameters:
  ///   - placeholder: What stands for it in help.
  ///   - expected: What the user should give.
  public static func word(_ placeholder: String, expected: String) -> ValueType {
    ValueType(ValueShape(placeholder, expected: expected)) { node throws(ValueError) in
      let text = try node.text(expected: expected)
      guard !text.isEmpty else { throw ValueError("the value is empty", at: node.position, remedy: "give \(expected)") }
      return text
    }
  }

  /// A path on the host.
  ///
  /// - Parameter completion: What a shell may offer.
  public static func path(_ completion: ValueShape.Completion = .file) -> ValueType {
    ValueType(ValueShape("PATH", expected: "a path", completion: completion)) { node throws(ValueError) in
      let text = try node.text(expected: "a path")
      guard !text.isEmpty else { throw ValueError("the path is empty", at: node.position, remedy: "give one") }
      return text
    }
  }
}

extension ValueType where Value == Bool {
  /// `true` or `false`, or `on` or `off`.
  public static var boolean: ValueType {
    let shape = ValueShape("BOOL", expected: "true or false", completion: .words(["true", "false"]), isBoolean: true)
    return ValueType(shape) { node throws(ValueError) in
      switch try node.text(expected: shape.expected) {
      case "true", "on": return true
      case "false", "off": return false
      case let other:
        throw ValueError("\(quoted(other)) is neither true nor false", at: node.position, remedy: "give true or false, or on or off")
      }
    }
  }
}

extension ValueType where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
  /// One of the words of an enumeration.
  ///
  /// - Parameter placeholder: What stands for it in help.
  public static func choice(_ placeholder: String) -> ValueType {
    let words = Value.allCases.map(\.rawValue)
    let expected = alternatives(words)
    return ValueType(ValueShape(placeholder, expected: expected, completion: .words(words))) { node throws(ValueError) in
      let text = try node.text(expected: expected)
      guard let value = Value(rawValue: text) else {
        let hint = suggestion(for: text, among: words).map { "did you mean \($0)? " } ?? ""
        throw ValueError("\(quoted(text)) is not possible", at: node.position, remedy: "\(hint)give \(expected)")
      }
      return value
    }
  }
}

extension ValueType {
  /// A list in brackets; without brackets, a list of one.
  ///
  /// - Parameter element: The type of each element.
  public static func list<Element>(of element: ValueType<Element>) -> ValueType where Value == [Element] {
    let shape = ValueShape("[\(element.shape.placeholder),...]", expected: "a list in [ ] of which each is \(element.shape.expected)")
    return ValueType(shape) { node throws(ValueError) in
      guard case .list(let items) = node.content else { return [try element.parse(node)] }
      var values: [Element] = []
      for item in items {
        if let key = item.key {
          throw ValueError("the list has a key \(quoted(key))", at: item.position, remedy: "give \(shape.expected)")
        }
        values.append(try element.parse(item.value))
      }
      return values
    }
  }
}
