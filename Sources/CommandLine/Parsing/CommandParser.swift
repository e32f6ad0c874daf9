/// Sorts the words of a command line by a table of commands and options.
///
/// `--name=value`, `--name value`, `-cVALUE`, `-c=VALUE` and `-c VALUE` give an option its value; `--` ends the options, which may else follow
/// arguments. An option of an outer command may be given after the name of an inner one.
public struct CommandParser {
  private var commands: [Command]
  private var levels: [Arguments]
  private var words: ArraySlice<String>
  private var optionsHaveEnded = false

  private init(_ root: Command, _ words: [String]) {
    commands = [root]
    levels = [Arguments(commandName: root.name)]
    self.words = words[...]
  }

  /// Sorts the words of a command line.
  ///
  /// - Parameters:
  ///   - words: The words after the name of the program.
  ///   - root: The program's table.
  /// - Returns: What they ask for.
  /// - Throws: The first thing that is wrong. The values of options are looked at when they are asked for.
  public static func parse(_ words: [String], with root: Command) throws(UsageError) -> Invocation {
    var parser = CommandParser(root, words)
    return try parser.parse()
  }

  private var command: Command { commands[commands.count - 1] }
  private var commandName: String { levels[levels.count - 1].commandName }

  private func error(_ message: String) -> UsageError {
    UsageError(command: commandName, message)
  }

  private func invocation(_ request: Invocation.Request) -> Invocation {
    Invocation(commands: commands, levels: levels, request: request)
  }

  private mutating func parse() throws(UsageError) -> Invocation {
    guard !words.isEmpty else { return invocation(command.subcommands.isEmpty ? .run : .help) }
    while let word = words.popFirst() {
      if optionsHaveEnded || !word.hasPrefix("-") || word == "-" {
        try takeArgument(word)
      } else if word == "--" {
        optionsHaveEnded = true
      } else {
        switch try takeOption(word) {
        case .none: break
        case .help: return invocation(.help)
        case .final: return invocation(.run)
        }
      }
    }
    guard command.subcommands.isEmpty else {
      throw error("no command is named; give \(alternatives(command.visibleSubcommands.map(\.name)))")
    }
    try checkRules()
    return invocation(.run)
  }

  // MARK: Arguments

  private mutating func takeArgument(_ word: String) throws(UsageError) {
    guard command.subcommands.isEmpty else { return try enterCommand(word) }
    let given = levels[levels.count - 1].positionals.count
    let last = command.positionals.count - 1
    guard given <= last || command.positionals.last?.isRepeatable == true else { throw error(surplus(word)) }
    levels[levels.count - 1].positionals.append((command.positionals[min(given, last)], word))
  }

  private func surplus(_ word: String) -> String {
    guard let last = command.positionals.last else { return "\(quoted(word)) is one argument too many; the command takes none" }
    return "\(quoted(word)) is one argument too many; the last is \(last.name), and options begin with --"
  }

  private mutating func enterCommand(_ word: String) throws(UsageError) {
    if let subcommand = command.subcommands.first(where: { $0.name == word }) {
      levels.append(Arguments(commandName: commandName + " " + subcommand.name))
      commands.append(subcommand)
      return
    }
    if let unavailable = command.unavailable(word) {
      throw error("the command \(quoted(word)) is not available in this build: \(unavailable.reason)")
    }
    let names = command.visibleSubcommands.map(\.name)
    let hint = suggestion(for: word, among: names).map { "did you mean \($0)? " } ?? ""
    throw error("\(quoted(word)) is not a command; \(hint)give \(alternatives(names))")
  }

  // MARK: Options

  private enum Effect {
    case none
    case help
    case final
  }

  private mutating func takeOption(_ word: String) throws(UsageError) -> Effect {
    let isLong = word.hasPrefix("--")
    let (name, attached) = isLong ? CommandParser.splitLong(word) : CommandParser.splitShort(word)
    guard let (level, option) = find(name) else { throw unknown(name, in: word) }
    if !isLong { try refuseLongName(of: word) }
    guard option.shape != nil else {
      guard attached == nil else { throw error("\(name) takes no value; drop \(quoted(attached ?? ""))") }
      if option.name == Command.help.name { return .help }
      levels[level].occurrences.append(.init(option: option, text: ""))
      return option.isFinal ? .final : .none
    }
    let text = try value(of: option, named: name, attached)
    guard option.isRepeatable || !levels[level].has("--" + option.name) else {
      throw error("--\(option.name) is given twice, the second time with \(quoted(text)); give it once")
    }
    levels[level].occurrences.append(.init(option: option, text: text))
    return .none
  }

  private mutating func value(of option: OptionDescription, named name: String, _ attached: String?) throws(UsageError) -> String {
    let placeholder = option.shape?.placeholder ?? ""
    if let attached {
      guard !attached.isEmpty else { throw error("\(name)= has no value after the =; give \(name)=\(placeholder)") }
      return attached
    }
    guard let next = words.first else { throw error("\(name) has no value; give \(name) \(placeholder)") }
    guard next != "--", !(next.hasPrefix("-") && isOption(next)) else {
      let shown = quoted(next)
      // A word that quotes would change cannot stand in a message without them.
      let plain = shown.dropFirst().dropLast() == next ? next : "..."
      throw error("\(name) has no value, as \(shown) is an option; give \(name) \(placeholder), or \(name)=\(plain) if it is the value")
    }
    words.removeFirst()
    return next
  }

  /// The innermost command that has the option, and the option.
  private func find(_ name: String) -> (level: Int, option: OptionDescription)? {
    for level in commands.indices.reversed() {
      let command = commands[level]
      let option =
        name.hasPrefix("--")
        ? command.option(named: String(name.dropFirst(2))) : name.last.flatMap { command.option(short: $0) }
      if let option { return (level, option) }
    }
    return nil
  }

  /// Whether a word would be an option if it did not stand where a value is expected.
  private func isOption(_ word: String) -> Bool {
    if word.hasPrefix("--") { return find(CommandParser.splitLong(word).name) != nil }
    return word.count == 2 && find(word) != nil
  }

  private static func splitLong(_ word: String) -> (name: String, value: String?) {
    guard let equals = word.firstIndex(of: "=") else { return (word, nil) }
    return (String(word[..<equals]), String(word[word.index(after: equals)...]))
  }

  private static func splitShort(_ word: String) -> (name: String, value: String?) {
    let rest = word.dropFirst(2)
    guard !rest.isEmpty else { return (word, nil) }
    return (String(word.prefix(2)), String(rest.first == "=" ? rest.dropFirst() : rest))
  }

  /// `-disk` would be `-d isk`, which nobody means.
  private func refuseLongName(of word: String) throws(UsageError) {
    let name = String(CommandParser.splitLong(word).name.dropFirst())
    guard name.count > 1, find("--" + name) != nil else { return }
    throw error("\(quoted(word)) has one hyphen and the name of a long option; give --\(name)")
  }

  private func unknown(_ name: String, in word: String) -> UsageError {
    let longName = name.hasPrefix("--") ? name : "-" + CommandParser.splitLong(word).name
    if let unavailable = commands.reversed().lazy.compactMap({ $0.unavailable(name) }).first {
      return error("\(name) is not available in this build: \(unavailable.reason)")
    }
    let names = commands.reversed().flatMap(\.options).map { "--" + $0.name }
    let hint = suggestion(for: hyphenated(longName), among: names).map { "did you mean \($0)? " } ?? ""
    return error("\(quoted(name)) is not an option; \(hint)\(commandName) --help lists all")
  }

  // MARK: Rules

  private func checkRules() throws(UsageError) {
    let arguments = levels[levels.count - 1]
    for positional in command.positionals where positional.isRequired && !arguments.has(positional.name) {
      throw error("the argument \(positional.name) is missing; give \(positional.shape.expected)")
    }
    for rule in command.rules {
      switch rule {
      case .atMostOne(let names):
        let given = names.filter(arguments.has)
        guard given.count < 2 else { throw error("\(alternatives(given, conjunction: "and")) exclude each other; give one of them") }
      case .atLeastOne(let names):
        guard names.contains(where: arguments.has) else {
          throw error("there is \(alternatives(names.map { "no \($0)" }, conjunction: "and")); give one of them")
        }
      }
    }
  }
}
