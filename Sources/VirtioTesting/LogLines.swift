public import Logging
internal import Synchronization

/// Lines of a logger, kept.
public final class LogLines: Sendable {
  private let lines = Mutex<[String]>([])

  /// Keeps nothing yet.
  public init() {}

  /// Level and message of each line.
  public var all: [String] { lines.withLock { $0 } }

  /// A logger whose lines are kept.
  public var logger: Logger { Logger(label: "test") { _ in Handler(lines: self) } }

  private struct Handler: LogHandler {
    let lines: LogLines
    var logLevel = Logger.Level.trace
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { lines.lines.withLock { $0.append("\(event.level) \(event.message)") } }
  }
}
