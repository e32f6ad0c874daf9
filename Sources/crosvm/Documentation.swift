import CommandLine

/// A shell for which there are completions.
enum Shell: String, CaseIterable {
  case bash, zsh, fish
}

extension Crosvm {
  /// The page of all options, which is docs/options.md.
  static var markdown: String {
    MarkdownPage(Table.crosvm, origin: "Made by crosvm markdown: edit Sources/crosvm/Table instead.").text
  }

  /// Prints the help of the command that the arguments name.
  static func help(_ arguments: Arguments) throws(UsageError) -> ExitStatus {
    print(HelpPage(try commands(arguments)).text)
  }

  /// Prints the manual page of the command that the arguments name.
  static func manualPages(_ arguments: Arguments) throws(UsageError) -> ExitStatus {
    print(ManualPage(try commands(arguments), version: Version.number, date: Version.date).text)
  }

  /// Prints the completions for the shell that the arguments name.
  static func completions(_ arguments: Arguments) throws(UsageError) -> ExitStatus {
    switch try arguments.value(of: Table.shell) {
    case .zsh: print(ZshCompletions(Table.crosvm).text)
    case .fish: print(FishCompletions(Table.crosvm).text)
    case .bash, nil: print(BashCompletions(Table.crosvm).text)
    }
  }

  /// The command that the arguments name, after those above it.
  private static func commands(_ arguments: Arguments) throws(UsageError) -> [Command] {
    var commands = [Table.crosvm]
    for name in try arguments.values(of: Table.helpTopic) {
      guard let command = commands[commands.count - 1].subcommands.first(where: { $0.name == name }) else {
        throw UsageError(command: arguments.commandName, "\(quoted(name)) is not a command; crosvm --help lists all")
      }
      commands.append(command)
    }
    return commands
  }
}
