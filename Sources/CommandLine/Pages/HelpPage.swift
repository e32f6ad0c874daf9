/// What `--help` prints.
public struct HelpPage {
  /// The page.
  public let text: String

  /// Writes the page of a command.
  ///
  /// - Parameter commands: The command, after those above it from the first on.
  public init(_ commands: [Command]) {
    guard let command = commands.last else {
      text = ""
      return
    }
    var parts = [
      TextLayout.paragraph("\(commands.name): \(command.summary)"), TextLayout.paragraph("Usage: \(commands.name) \(command.synopsis)"),
    ]
    parts += command.details.map { TextLayout.paragraph($0) }
    parts.append(HelpPage.list("Commands", command.visibleSubcommands.map { ($0.name, $0.summary) }, column: 16))
    parts.append(HelpPage.list("Arguments", command.positionals.map { ($0.name, $0.summary) }, column: 16))
    parts += command.completeGroups.map(HelpPage.group)
    parts += commands.outer.map { HelpPage.pointer(to: $0) }
    parts.append(HelpPage.list("Exit status", command.exitStatuses.map { ("\($0.code)", $0.meaning) }, column: 6))
    parts.append(HelpPage.examples(command.examples))
    text = parts.filter { !$0.isEmpty }.joined(separator: "\n")
  }

  private static func list(_ title: String, _ entries: [(name: String, text: String)], column: Int) -> String {
    guard !entries.isEmpty else { return "" }
    return title + ":\n" + entries.map { TextLayout.entry($0.name, $0.text, indent: 2, column: column) }.joined()
  }

  private static func group(_ group: OptionGroup) -> String {
    let entries = group.options.map { option in
      let indent = option.short == nil ? 6 : 2
      let fields = option.explainedFields.map { TextLayout.entry($0.heading, $0.explanation, indent: 10, column: 30) }
      return TextLayout.entry(option.heading, option.explanation, indent: indent, column: 26) + fields.joined()
    }
    return group.title + ":\n" + entries.joined()
  }

  private static func pointer(to command: Command) -> String {
    let names = command.groups.flatMap(\.options).map { "--" + $0.name }
    guard !names.isEmpty else { return "" }
    return TextLayout.paragraph("The options of \(command.name) may be given too: \(alternatives(names, conjunction: "and")).")
  }

  private static func examples(_ examples: [Command.Example]) -> String {
    guard !examples.isEmpty else { return "" }
    return "Examples:\n"
      + examples.map { "  \($0.line)\n" + TextLayout.paragraph($0.meaning, indent: 6) }.joined()
  }
}
