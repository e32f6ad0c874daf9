import Glibc
import Logging
import Platform

/// Where log lines go: to the standard error and, if the user does not object and there is a log daemon, to the system log.
final class LogSink: Sendable {
  private let levels: LogLevels
  private let systemLog: SystemLog?

  /// Opens the system log.
  ///
  /// - Parameter options: What the user wants to see, and where.
  init(_ options: GlobalOptions) {
    levels = options.logLevels
    // The C library reads the time zone's file at the first use, which a confined process may not.
    tzset()
    // Containers have no log daemon; that is no reason to complain or to stop.
    systemLog = options.usesSyslog ? try? SystemLog(tag: options.syslogTag ?? "crosvm") : nil
  }

  /// The lowest level that a part writes, `nil` for no message at all.
  func threshold(of name: String) -> Logger.Level? { levels[name] }

  /// Writes one line.
  func write(_ text: String, of name: String, at level: Logger.Level) {
    let line = LogSink.oneLine("\(name): \(text)")
    StandardStreams.complain("[\(LogSink.time()) \(level.word)] \(line)", milliseconds: 200)
    // What cannot be logged cannot be complained of in the log.
    try? systemLog?.write(line.utf8, severity: level.severity, mayWait: false)
  }

  /// The text without what would begin a new line or move the cursor of a terminal.
  static func oneLine(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else { return text }
    return String(
      String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory == .control ? "?" : $0 }))
  }

  /// The time of day in UTC as RFC 3339 writes it, with milliseconds.
  private static func time() -> String {
    var now = timespec()
    var parts = unsafe tm()
    guard unsafe clock_gettime(CLOCK_REALTIME, &now) == 0, unsafe gmtime_r(&now.tv_sec, &parts) != nil else { return "-" }
    let date = unsafe [Int(parts.tm_year) + 1900, Int(parts.tm_mon) + 1, Int(parts.tm_mday)].map { twoDigits($0) }.joined(separator: "-")
    let time = unsafe [parts.tm_hour, parts.tm_min, parts.tm_sec].map { twoDigits(Int($0)) }.joined(separator: ":")
    let milliseconds = String(1000 + now.tv_nsec / 1_000_000).dropFirst()
    return "\(date)T\(time).\(milliseconds)Z"
  }

  private static func twoDigits(_ number: Int) -> String {
    number < 10 ? "0\(number)" : "\(number)"
  }
}

extension Logger.Level {
  /// The level as lines show it.
  fileprivate var word: String {
    self == .warning ? "WARN" : rawValue.uppercased()
  }

  fileprivate var severity: SystemLog.Severity {
    switch self {
    case .critical, .error: .error
    case .warning: .warning
    case .notice, .info: .informational
    case .debug, .trace: .debug
    }
  }
}
