internal import Interrupts
internal import Logging
internal import Platform
internal import Synchronization

/// The VMM's end of the connection over which a device's process tells things.
final class DeviceEvents: Sendable {
  private struct State {
    /// A device may be hostile.
    var quota = LineQuota(lines: 100, seconds: 10)
    var violation: Violation?
  }

  private let name: String
  private let kind: String
  private let connection: PacketSocket
  private let line: LevelInterrupt?
  private let logger: Logger
  private let state = Mutex(State())

  init(name: String, kind: String, connection: PacketSocket, line: LevelInterrupt?, logger: Logger) {
    self.name = name
    self.kind = kind
    self.connection = connection
    self.line = line
    self.logger = logger
  }

  func watch(_ loop: EventLoop) throws(SystemError) {
    try loop.add(connection.number) { [weak self, weak loop] _ in
      guard let self else { return }
      // Its end is the launcher's to report.
      if !take() { loop?.remove(connection.number) }
    }
  }

  func stopWatching(_ loop: EventLoop) { loop.remove(connection.number) }

  /// Takes what the process told before it ended.
  ///
  /// - Returns: Why it ended, where it told.
  func lastWords() -> String? {
    // As many as the connection may hold.
    for _ in 0..<1000 where !take() { break }
    return state.withLock { $0.violation }.map { $0.sentence(of: "it", policies: "\(kind).policy") }
  }

  /// Takes one event; whether there may be more.
  private func take() -> Bool {
    guard case .packet(let packet)? = try? connection.receive(milliseconds: 0, limit: 2 * DeviceEvent.longestLine) else { return false }
    guard let event = try? DeviceEvent(packet.bytes) else { return true }
    switch event {
    // A device speaks for itself only.
    case .line(let level, let text): write(level, text.hasPrefix("\(name): ") ? text : "\(name): \(text)")
    case .text(let text): write(.error, "\(name): \(text)")
    case .attachLine: line?.attach()
    case .violation(let violation): state.withLock { $0.violation = violation }
    }
    return true
  }

  private func write(_ level: Logger.Level, _ text: String) {
    let suppressed = state.withLock { $0.quota.admit(now: monotonicNanoseconds()) }
    guard let suppressed else { return }
    if suppressed > 0 { logger.warning("\(name): \(suppressed) lines of the device's process were left out") }
    logger.log(level: level, "\(text)")
  }
}
