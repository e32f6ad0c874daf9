/// The options and arguments that a user gave to one command.
public struct Arguments: Sendable {
  /// An option and its value, in the order of the command line.
  struct Occurrence: Sendable {
    let option: OptionDescription
    let text: String
  }

  /// The command with those above it, such as `crosvm run`.
  public let commandName: String

  var occurrences: [Occurrence] = []
  var positionals: [(description: PositionalDescription, text: String)] = []

  init(commandName: String) {
    self.commandName = commandName
  }

  /// Whether a flag was given.
  ///
  /// - Parameter flag: A flag of the command's table.
  public func contains(_ flag: Flag) -> Bool {
    occurrences.contains { $0.option.name == flag.description.name }
  }

  /// The value of an option, `nil` where it was not given.
  ///
  /// - Parameter option: An option of the command's table that may be given once.
  /// - Throws: What is wrong with the value.
  public func value<Value>(of option: Option<Value>) throws(UsageError) -> Value? {
    try values(of: option).last
  }

  /// The values of some options in the order in which they were given.
  ///
  /// - Parameter options: Options of the command's table.
  /// - Throws: What is wrong with the first value that is wrong.
  public func values<Value>(of options: Option<Value>...) throws(UsageError) -> [Value] {
    var values: [Value] = []
    for occurrence in occurrences {
      guard let option = options.first(where: { $0.description.name == occurrence.option.name }) else { continue }
      do {
        values.append(try option.type.value(of: occurrence.text))
      } catch {
        throw usageError(error, in: occurrence.text, of: "--" + occurrence.option.name)
      }
    }
    return values
  }

  /// The value of an argument, `nil` where it was not given.
  ///
  /// - Parameter positional: An argument of the command's table.
  /// - Throws: What is wrong with the value.
  public func value<Value>(of positional: Positional<Value>) throws(UsageError) -> Value? {
    try values(of: positional).last
  }

  /// The values of an argument that may be given more than once.
  ///
  /// - Parameter positional: An argument of the command's table.
  /// - Throws: What is wrong with the first value that is wrong.
  public func values<Value>(of positional: Positional<Value>) throws(UsageError) -> [Value] {
    var values: [Value] = []
    for (description, text) in positionals where description.name == positional.description.name {
      do {
        values.append(try positional.type.value(of: text))
      } catch {
        throw usageError(error, in: text, of: description.name)
      }
    }
    return values
  }

  /// Whether an option or argument was given.
  func has(_ name: String) -> Bool {
    if name.hasPrefix("--") {
      return occurrences.contains { "--" + $0.option.name == name }
    }
    return positionals.contains { $0.description.name == name }
  }

  /// The whole value is shown only where a place in it is named: a problem itself shows what is wrong.
  private func usageError(_ error: ValueError, in text: String, of name: String) -> UsageError {
    let subject = error.position ?? 0 > 0 ? "\(name) \(quoted(text))" : name
    return UsageError(command: commandName, "\(subject): \(error.description(in: text))")
  }
}

/// What a command line asks for.
public struct Invocation: Sendable {
  /// What to do with a command.
  public enum Request: Sendable {
    /// Do what it does.
    case run
    /// Print its help: the user asked for it, or named no command at all.
    case help
  }

  /// The commands from the first to the innermost.
  public let commands: [Command]

  /// The options and arguments of each of the commands.
  public let levels: [Arguments]

  /// What to do with the innermost.
  public let request: Request

  /// The names of the subcommands, without that of the program: `["run"]`.
  public var path: [String] { commands.dropFirst().map(\.name) }
}
