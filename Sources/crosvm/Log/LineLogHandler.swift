import Logging

/// Makes one line of each message of a logger.
struct LineLogHandler: LogHandler {
  var metadata: Logger.Metadata = [:]
  var logLevel: Logger.Level

  /// What the lines name as their origin.
  private let name: String
  private let sink: LogSink?

  /// Makes the handler of one logger.
  ///
  /// - Parameters:
  ///   - label: The logger's label. What precedes its last full stop is left out: `crosvm.pci` is shown as `pci`.
  ///   - sink: Where lines go.
  init(label: String, sink: LogSink) {
    name = label.split(separator: ".").last.map { String($0) } ?? label
    let threshold = sink.threshold(of: name)
    logLevel = threshold ?? .critical
    self.sink = threshold == nil ? nil : sink
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    guard let sink else { return }
    let all = metadata.merging(event.metadata ?? [:]) { $1 }
    let pairs = all.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }
    var text = "\(event.message)"
    // Devices name themselves, for they may share a logger; here each has its own.
    if text.hasPrefix("\(name): ") { text.removeFirst(name.count + 2) }
    sink.write(text + pairs.joined(), of: name, at: event.level)
  }
}
