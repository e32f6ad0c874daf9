/// A manual page in the language of roff with the macros of man(7).
public struct ManualPage {
  /// The page.
  public let text: String

  /// Writes the page of a command.
  ///
  /// - Parameters:
  ///   - commands: The command, after those above it from the first on.
  ///   - version: The version of the program.
  ///   - date: The day of that version, as in 2026-11-28.
  public init(_ commands: [Command], version: String, date: String) {
    guard let command = commands.last, let root = commands.first else {
      text = ""
      return
    }
    let title = ManualPage.title(commands)
    let head = [ManualPage.escaped(title.uppercased()), "1", date, ManualPage.escaped("\(root.name) \(version)"), "User Commands"]
    var lines = [
      ".TH " + head.map { "\"\($0)\"" }.joined(separator: " "),
      // No hyphenation and a ragged right margin: names must not be broken.
      ".nh", ".ad l",
      ".SH NAME", "\(ManualPage.escaped(title)) \\- \(ManualPage.escaped(command.summary))",
      ".SH SYNOPSIS", ".B \(ManualPage.escaped(commands.name))", ManualPage.line(command.synopsis),
    ]
    if !command.details.isEmpty {
      let paragraphs = command.details.map { [ManualPage.line($0)] }
      lines += [".SH DESCRIPTION"] + paragraphs.joined(separator: [".PP"])
    }
    lines += ManualPage.section("COMMANDS", command.visibleSubcommands.map { ($0.name, $0.summary + ".") })
    lines += ManualPage.section("ARGUMENTS", command.positionals.map { ($0.name, $0.summary) })
    lines += ManualPage.options(command, outer: commands.outer)
    lines += ManualPage.section("EXIT STATUS", command.exitStatuses.map { ("\($0.code)", $0.meaning) })
    lines += ManualPage.section("EXAMPLES", command.examples.map { ($0.line, $0.meaning) })
    lines += ManualPage.seeAlso(commands)
    text = lines.joined(separator: "\n") + "\n"
  }

  private static func title(_ commands: [Command]) -> String {
    commands.map(\.name).joined(separator: "-")
  }

  private static func section(_ title: String, _ entries: [(name: String, text: String)]) -> [String] {
    guard !entries.isEmpty else { return [] }
    return [".SH \(title)"] + entries.flatMap { entry($0.name, $0.text) }
  }

  private static func entry(_ name: String, _ text: String) -> [String] {
    [".TP", ".B \(escaped(name))", line(text)]
  }

  private static func options(_ command: Command, outer: ArraySlice<Command>) -> [String] {
    var lines = [".SH OPTIONS"]
    for group in command.completeGroups {
      lines.append(".SS \(escaped(group.title))")
      lines += group.options.flatMap(option)
    }
    for command in outer where !command.groups.isEmpty {
      lines += [".PP", line("The options of \(command.name)(1) may be given too.")]
    }
    return lines
  }

  private static func option(_ option: OptionDescription) -> [String] {
    let fields = option.explainedFields.flatMap { entry($0.heading, $0.explanation) }
    return entry(option.heading, option.explanation) + (fields.isEmpty ? [] : [".RS"] + fields + [".RE"])
  }

  private static func seeAlso(_ commands: [Command]) -> [String] {
    let name = title(commands)
    let outer = commands.outer.isEmpty ? [] : [title(Array(commands.outer))]
    let inner = commands.last?.visibleSubcommands.map { name + "-" + $0.name } ?? []
    guard !(outer + inner).isEmpty else { return [] }
    return [".SH SEE ALSO", line((outer + inner).map { $0 + "(1)" }.joined(separator: ", "))]
  }

  /// A line of text that no macro is made of.
  private static func line(_ text: String) -> String {
    let text = escaped(text)
    return text.hasPrefix(".") || text.hasPrefix("'") ? "\\&" + text : text
  }

  /// Text in which no character has a meaning for roff: backslashes, hyphens that would be dashes, and quotes that would be curled.
  private static func escaped(_ text: String) -> String {
    var result = ""
    for character in text {
      switch character {
      case "\\": result += "\\e"
      case "-": result += "\\-"
      case "\"": result += "\\(dq"
      case "'": result += "\\(aq"
      case "^": result += "\\(ha"
      case "~": result += "\\(ti"
      case "`": result += "\\(ga"
      default: result.append(character)
      }
    }
    return result
  }
}
