/// A command or subcommand: everything that parsing, help, manual pages and completions need to know about it.
public struct Command: Sendable {
  /// What the user types.
  public let name: String

  /// What it does, in a few words that begin with a verb.
  public let summary: String

  /// More about it, a paragraph each.
  public var details: [String] = []

  /// What is told by its place.
  public var positionals: [PositionalDescription] = []

  /// The options under their headings. `--help` is added to each command.
  public var groups: [OptionGroup] = []

  /// What contradicts or must be there.
  public var rules: [Rule] = []

  /// The commands below this one.
  public var subcommands: [Command] = []

  /// Names that users know, but for which nothing is built in here.
  public var unavailable: [Unavailable] = []

  /// How it is used: a command line and what that does.
  public var examples: [Example] = []

  /// What its exit status says.
  public var exitStatuses: [ExitStatusDescription] = []

  /// Whether help and completions leave it out.
  public var isHidden = false

  /// Makes a command; what it has besides its name is set afterwards.
  ///
  /// - Parameters:
  ///   - name: What the user types.
  ///   - summary: What it does, in a few words that begin with a verb.
  ///   - fill: Sets what the command has besides.
  public init(_ name: String, _ summary: String, fill: (inout Command) -> Void = { _ in }) {
    self.name = name
    self.summary = summary
    fill(&self)
  }

  /// A condition on several options and arguments. A name without hyphens is an argument's.
  public enum Rule: Sendable {
    /// At most one of these may be given.
    case atMostOne([String])
    /// At least one of these must be given.
    case atLeastOne([String])
  }

  /// A name that users know, but for which nothing is built in here.
  public struct Unavailable: Sendable {
    /// The names of options with their hyphens, or of subcommands.
    public let names: [String]
    /// What this build has not.
    public let reason: String

    /// Makes a list of names.
    ///
    /// - Parameters:
    ///   - reason: What this build has not.
    ///   - names: The names of options with their hyphens, or of subcommands.
    public init(_ reason: String, _ names: String...) {
      self.reason = reason
      self.names = names
    }
  }

  /// How a command is used.
  public struct Example: Sendable {
    /// The command line.
    public let line: String
    /// What it does.
    public let meaning: String

    /// Makes an example.
    ///
    /// - Parameters:
    ///   - line: The command line.
    ///   - meaning: What it does.
    public init(_ line: String, _ meaning: String) {
      self.line = line
      self.meaning = meaning
    }
  }

  /// What one exit status says.
  public struct ExitStatusDescription: Sendable {
    /// The number.
    public let code: Int32
    /// What it says.
    public let meaning: String

    /// Makes a description of an exit status.
    ///
    /// - Parameters:
    ///   - code: The number.
    ///   - meaning: What it says.
    public init(_ code: Int32, _ meaning: String) {
      self.code = code
      self.meaning = meaning
    }
  }

  /// The option that every command has.
  static let help = Flag("help", short: "h", "Print this help on the standard output and exit.").description

  /// All options, `--help` too.
  var options: [OptionDescription] { groups.flatMap(\.options) + [Command.help] }

  /// The groups, with `--help` under the last heading.
  var completeGroups: [OptionGroup] {
    guard let last = groups.last else { return [OptionGroup("Options", [Command.help])] }
    return groups.dropLast() + [OptionGroup(last.title, last.options + [Command.help])]
  }

  var visibleSubcommands: [Command] { subcommands.filter { !$0.isHidden } }

  func option(named name: String) -> OptionDescription? {
    let name = hyphenated(name)
    return options.first { $0.name == name }
  }

  func option(short: Character) -> OptionDescription? {
    options.first { $0.short == short }
  }

  func unavailable(_ name: String) -> Unavailable? {
    let name = hyphenated(name)
    return unavailable.first { $0.names.contains(name) }
  }
}
