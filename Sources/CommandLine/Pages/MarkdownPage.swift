/// All commands and options as one page of Markdown.
public struct MarkdownPage {
  /// The page.
  public let text: String

  /// Writes the page.
  ///
  /// - Parameters:
  ///   - root: The program's table.
  ///   - origin: How the page is made, for who would edit it.
  public init(_ root: Command, origin: String) {
    text =
      "# The options of \(root.name)\n\n<!-- \(origin) -->\n"
      + MarkdownPage.sections([root]).joined()
  }

  private static func sections(_ commands: [Command]) -> [String] {
    guard let command = commands.last, !command.isHidden else { return [] }
    return [section(commands, command)] + command.subcommands.flatMap { sections(commands + [$0]) }
  }

  private static func section(_ commands: [Command], _ command: Command) -> String {
    var parts = ["## \(commands.name)", sentence(command.summary), "```\n\(commands.name) \(command.synopsis)\n```"]
    parts += command.details.map(escaped)
    parts.append(table(["Argument", "Meaning"], command.positionals.map { [code($0.name), escaped($0.summary)] }))
    parts += command.groups.flatMap { ["### \($0.title)"] + options($0.options) }
    parts.append(
      table(["Exit status", "Meaning"], commands.count > 1 ? [] : command.exitStatuses.map { ["\($0.code)", escaped($0.meaning)] }))
    parts += command.examples.map { "\(escaped($0.meaning))\n\n```sh\n\($0.line)\n```" }
    return parts.filter { !$0.isEmpty }.map { "\n" + $0 + "\n" }.joined()
  }

  private static func options(_ options: [OptionDescription]) -> [String] {
    let rows = options.map { [code($0.heading), escaped($0.explanation)] }
    let keys = options.filter { !$0.explainedFields.isEmpty }.flatMap { option in
      [
        "The keys of `--\(option.name)`:",
        table(["Key", "Meaning"], option.explainedFields.map { [code($0.heading), escaped($0.explanation)] }),
      ]
    }
    return [table(["Option", "Meaning"], rows)] + keys
  }

  private static func table(_ heads: [String], _ rows: [[String]]) -> String {
    guard !rows.isEmpty else { return "" }
    let lines = [heads, heads.map { _ in "---" }] + rows
    return lines.map { "| " + $0.joined(separator: " | ") + " |" }.joined(separator: "\n")
  }

  private static func sentence(_ summary: String) -> String {
    escaped(summary.prefix(1).uppercased() + summary.dropFirst() + ".")
  }

  private static func code(_ text: String) -> String {
    "`" + String(text.flatMap { $0 == "|" ? "\\|" : String($0) }) + "`"
  }

  /// Text in which no character has a meaning for Markdown.
  private static func escaped(_ text: String) -> String {
    String(text.flatMap { "\\`*_[]<>|".contains($0) ? "\\\($0)" : String($0) })
  }
}
