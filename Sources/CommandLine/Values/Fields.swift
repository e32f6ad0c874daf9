/// One field of a value, such as `queues` of `--block PATH,queues=4`.
public struct Field<Value: Sendable>: Sendable {
  /// What help, manual pages and completions say about it.
  public let description: FieldDescription

  let type: ValueType<Value>

  /// Makes a field.
  ///
  /// - Parameters:
  ///   - name: Its key.
  ///   - type: How its value is written.
  ///   - aliases: Other keys that mean the same.
  ///   - defaultText: What holds where it is not given.
  ///   - isRequired: Whether it must be given.
  ///   - summary: What it is for.
  public init(
    _ name: String, _ type: ValueType<Value>, aliases: [String] = [], default defaultText: String? = nil, isRequired: Bool = false,
    _ summary: String
  ) {
    self.type = type
    description = FieldDescription(
      name: name, aliases: aliases, shape: type.shape, defaultText: defaultText, isRequired: isRequired, summary: summary)
  }
}

/// What help, manual pages and completions say about a field.
public struct FieldDescription: Sendable {
  /// Its key.
  public let name: String
  /// Other keys that mean the same.
  public let aliases: [String]
  /// How its value is written.
  public let shape: ValueShape
  /// What holds where it is not given.
  public let defaultText: String?
  /// Whether it must be given.
  public let isRequired: Bool
  /// What it is for.
  public let summary: String
}

/// The fields that a value may have. The first may be given without its key.
public struct FieldTable: Sendable {
  /// The fields in the order of help.
  public let fields: [FieldDescription]

  /// Keys that have a meaning elsewhere, but for which nothing is built in here.
  public let unavailable: [String]

  /// Makes a table.
  ///
  /// - Parameters:
  ///   - fields: The fields in the order of help.
  ///   - unavailable: Keys that are known, but have no effect that this build could give.
  public init(_ fields: [FieldDescription], unavailable: [String] = []) {
    self.fields = fields
    self.unavailable = unavailable
  }

  /// The field of a key; an underscore stands for a hyphen.
  func field(_ key: String) -> FieldDescription? {
    let name = hyphenated(key)
    return fields.first { $0.name == name || $0.aliases.contains(name) }
  }
}

/// The fields of one value, as the user gave them.
public struct Fields: Sendable {
  private let nodes: [String: ValueNode]
  private let position: Int

  /// Sorts the fields of a value by their names.
  ///
  /// - Parameters:
  ///   - items: The fields as they were written.
  ///   - table: The fields that there may be.
  ///   - position: Where the value begins.
  /// - Throws: Which field is unknown, given twice, without a value, or missing.
  public init(_ items: [ValueItem], _ table: FieldTable, at position: Int = 0) throws(ValueError) {
    var nodes: [String: ValueNode] = [:]
    for (index, item) in items.enumerated() {
      let (field, node) = try Fields.match(item, isFirst: index == 0, table)
      guard nodes.updateValue(node, forKey: field.name) == nil else {
        throw ValueError("the key \(quoted(field.name)) is given twice", at: item.position, remedy: "give it once")
      }
    }
    for field in table.fields where field.isRequired && nodes[field.name] == nil {
      throw ValueError("there is no \(field.name)", at: position, remedy: "give \(field.name)=\(field.shape.placeholder)")
    }
    self.nodes = nodes
    self.position = position
  }

  /// The value of a field, `nil` where it was not given.
  ///
  /// - Parameter field: A field of the table.
  public func value<Value>(_ field: Field<Value>) throws(ValueError) -> Value? {
    guard let node = nodes[field.description.name] else { return nil }
    return try field.type.parse(node)
  }

  /// The value of a field that must be given.
  ///
  /// - Parameter field: A field of the table.
  public func require<Value>(_ field: Field<Value>) throws(ValueError) -> Value {
    guard let value = try value(field) else {
      throw ValueError(
        "there is no \(field.description.name)", at: position,
        remedy: "give \(field.description.name)=\(field.description.shape.placeholder)")
    }
    return value
  }

  /// Where the value of a field begins, or the whole value where the field was not given.
  ///
  /// - Parameter field: A field of the table.
  public func position<Value>(of field: Field<Value>) -> Int {
    nodes[field.description.name]?.position ?? position
  }

  private static func match(
    _ item: ValueItem, isFirst: Bool, _ table: FieldTable
  ) throws(ValueError) -> (FieldDescription, ValueNode) {
    if let key = item.key {
      guard let field = table.field(key) else { throw unknown(key, at: item.position, table) }
      return (field, item.value)
    }
    if isFirst, let first = table.fields.first {
      return (first, item.value)
    }
    guard case .text(let key) = item.value.content else {
      throw ValueError("a list has no key", at: item.position, remedy: "give KEY=[...]")
    }
    guard let field = table.field(key) else { throw unknown(key, at: item.position, table) }
    guard field.shape.isBoolean else {
      throw ValueError("the key \(quoted(key)) has no value", at: item.position, remedy: "give \(field.name)=\(field.shape.placeholder)")
    }
    return (field, ValueNode(.text("true"), at: item.position))
  }

  private static func unknown(_ key: String, at position: Int, _ table: FieldTable) -> ValueError {
    if table.unavailable.contains(hyphenated(key)) {
      return ValueError("the key \(quoted(key)) is not available in this build", at: position, remedy: "drop it")
    }
    let names = table.fields.map(\.name)
    let hint = suggestion(for: hyphenated(key), among: names).map { "did you mean \($0)? " } ?? ""
    let known = "known \(names.count == 1 ? "is" : "are") \(alternatives(names, conjunction: "and"))"
    return ValueError("\(quoted(key)) is not a known key", at: position, remedy: hint + known)
  }
}

extension ValueType {
  /// A value with fields: `first,key=value,flag`, or the same in brackets within another.
  ///
  /// - Parameters:
  ///   - table: The fields that there may be.
  ///   - build: Makes the value of the fields.
  public static func fields(
    _ table: FieldTable, build: @escaping @Sendable (Fields) throws(ValueError) -> Value
  ) -> ValueType {
    let first = table.fields.first?.shape.placeholder ?? ""
    let shape = ValueShape(
      "\(first)[,KEY=VALUE...]", expected: "\(first), then KEY=VALUE after commas",
      completion: table.fields.first?.shape.completion ?? .none,
      fields: table)
    return ValueType(shape) { node throws(ValueError) in
      switch node.content {
      case .argument(let text): return try build(Fields(ValueParser.fields(in: text), table, at: node.position))
      case .text: return try build(Fields([ValueItem(key: nil, value: node, at: node.position)], table, at: node.position))
      case .list(let items): return try build(Fields(items, table, at: node.position))
      case .variant(let name, _):
        throw ValueError("\(quoted(name)) is followed by a list in [ ]", at: node.position, remedy: "give \(shape.expected)")
      }
    }
  }
}

/// A name with hyphens where it may have underscores.
func hyphenated(_ name: String) -> String {
  String(name.map { $0 == "_" ? "-" : $0 })
}
