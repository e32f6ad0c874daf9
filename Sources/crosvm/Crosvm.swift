import CommandLine
import Logging
import Machine
import Platform
import Sandbox

/// The command: it sorts its arguments and does what they ask for.
enum Crosvm {
  /// Runs the command.
  ///
  /// - Parameter arguments: The program's name and its arguments.
  /// - Returns: The exit status.
  static func main(_ arguments: [String]) -> Int32 {
    let launcher: Launcher?
    do { launcher = try EarlyLauncher.start(arguments) } catch {
      StandardStreams.complain("crosvm: \(error)")
      return ExitStatus.failure.rawValue
    }
    defer { launcher?.finish() }
    do {
      let invocation = try CommandParser.parse(Array(arguments.dropFirst()), with: Table.crosvm)
      let options = try GlobalOptions(invocation.levels[0])
      return try perform(invocation, options, launcher).code(isExtended: options.hasExtendedStatus)
    } catch {
      StandardStreams.complain("\(error)")
      return ExitStatus.usage.rawValue
    }
  }

  private static func perform(_ invocation: Invocation, _ options: GlobalOptions, _ launcher: Launcher?) throws(UsageError) -> ExitStatus {
    if case .help = invocation.request {
      return print(HelpPage(invocation.commands).text)
    }
    guard !options.wantsVersion else { return print(Version.line + "\n") }
    let arguments = invocation.levels[invocation.levels.count - 1]
    switch invocation.path.first {
    case Table.run.name: return try run(arguments, options, launcher)
    case Table.help.name: return try help(arguments)
    case Table.completions.name: return try completions(arguments)
    case Table.man.name: return try manualPages(arguments)
    case Table.markdown.name:
      return print(markdown)
    case Table.version.name where try arguments.values(of: ControlCommands.askedSockets).isEmpty: return print(Version.line + "\n")
    default:
      if let status = try ImageCommand.perform(invocation) { return status }
      return try ControlCommand.perform(invocation)
    }
  }

  private static func run(_ arguments: Arguments, _ options: GlobalOptions, _ launcher: Launcher?) throws(UsageError) -> ExitStatus {
    var configuration = try RunCommand.configuration(of: arguments)
    configuration.syslogTag = options.syslogTag
    do {
      try configuration.validate()
    } catch {
      throw UsageError(command: arguments.commandName, "\(error)")
    }
    let sink = LogSink(options)
    LoggingSystem.bootstrap { LineLogHandler(label: $0, sink: sink) }
    return startMachine(configuration, launcher: launcher, name: arguments.commandName)
  }

  static func print(_ text: String) -> ExitStatus {
    if StandardStreams.print(text) { return .success }
    StandardStreams.complain("crosvm: \(SystemError.last("write to the standard output"))")
    return .failure
  }
}
