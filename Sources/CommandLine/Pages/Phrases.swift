/// How options, keys and commands are shown on every kind of page.

extension OptionDescription {
  /// The option as it is written, such as `-i, --initrd PATH`.
  var heading: String {
    let names = (short.map { "-\($0), " } ?? "") + "--" + name
    guard let shape else { return names }
    return names + " " + shape.placeholder
  }

  /// What it is for, how often it may be given, and what holds without it.
  var explanation: String {
    var text = summary
    if isRepeatable, shape != nil { text += " May be given more than once." }
    if let defaultText { text += " Default: \(defaultText)." }
    return text
  }

  /// The keys of its value that help explains.
  var explainedFields: [FieldDescription] {
    guard let shape, shape.explainsFields else { return [] }
    return shape.fields?.fields ?? []
  }
}

extension FieldDescription {
  /// The key as it is written, such as `queues=N`, or `ro` where it needs no value.
  var heading: String {
    if shape.isBoolean { return "\(name)[=\(shape.placeholder)]" }
    return "\(name)=\(shape.placeholder)"
  }

  /// What it is for, what may be given, and what holds without it.
  var explanation: String {
    var text = summary
    if case .words(let words) = shape.completion, !shape.isBoolean, words.count <= 5 {
      text += " One of \(alternatives(words, conjunction: "and"))."
    }
    if let defaultText { text += " Default: \(defaultText)." }
    return text
  }
}

extension PositionalDescription {
  /// The argument as it stands in a synopsis, such as `[KERNEL]`.
  var synopsis: String {
    let name = isRepeatable ? name + "..." : name
    return isRequired ? name : "[\(name)]"
  }
}

extension Command {
  /// What may follow the name of the command.
  var synopsis: String {
    let rest = subcommands.isEmpty ? positionals.map(\.synopsis) : ["COMMAND", "[ARGUMENT...]"]
    return (["[OPTION...]"] + rest).joined(separator: " ")
  }
}

extension [Command] {
  /// The names from the first command to the last, such as `crosvm run`.
  var name: String { map(\.name).joined(separator: " ") }

  /// The commands above the last, whose options it takes too, from the first on.
  var outer: ArraySlice<Command> { dropLast() }
}
