import CommandLine

/// The options of every command, which may be given before its name.
struct GlobalOptions {
  static let version = Flag("version", short: "V", isFinal: true, "Print the version and exit.")

  static let extendedStatus = Flag(
    "extended-status", "Let the exit status tell apart how a machine ended, as listed below.")

  static let logLevel = Option(
    "log-level", ValueType<LogLevels>.logLevels, default: "info",
    "Write messages of this level and above: off, error, warn, info, debug or trace. With NAME=LEVEL for one part or device only: warn,block=trace."
  )

  static let syslogTag = Option(
    "syslog-tag", .word("TAG", expected: "a word"), default: "crosvm", "The name under which messages go to the system log.")

  static let noSyslog = Flag("no-syslog", "Write messages to the standard error only, not to the system log.")

  let wantsVersion: Bool
  let hasExtendedStatus: Bool
  let logLevels: LogLevels
  let syslogTag: String?
  let usesSyslog: Bool

  /// Reads the options.
  ///
  /// - Parameter arguments: What was given to the command as a whole.
  /// - Throws: The first value that is wrong, or a contradiction.
  init(_ arguments: Arguments) throws(UsageError) {
    wantsVersion = arguments.contains(GlobalOptions.version)
    hasExtendedStatus = arguments.contains(GlobalOptions.extendedStatus)
    logLevels = try arguments.value(of: GlobalOptions.logLevel) ?? LogLevels()
    syslogTag = try arguments.value(of: GlobalOptions.syslogTag)
    usesSyslog = !arguments.contains(GlobalOptions.noSyslog)
  }
}
