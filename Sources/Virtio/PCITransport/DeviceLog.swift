internal import Logging
internal import Synchronization

/// A device's log lines that a guest can cause: a few at once, then silence for a while, so that no guest fills the host's log.
final class DeviceLog: Sendable {
  private static let burst = 5
  private static let pause = Duration.seconds(60)

  private struct State {
    var written = 0
    var suppressed = 0
    var since: ContinuousClock.Instant?
  }

  private let device: String
  private let logger: Logger
  private let state = Mutex(State())

  init(device: String, logger: Logger) {
    self.device = device
    self.logger = logger
  }

  func warning(_ message: @autoclosure () -> String) {
    let suppressed = state.withLock { state -> Int? in
      let now = ContinuousClock.now
      if let since = state.since, since.duration(to: now) < DeviceLog.pause {
        guard state.written < DeviceLog.burst else {
          state.suppressed += 1
          return nil
        }
      } else {
        state.since = now
        state.written = 0
      }
      state.written += 1
      defer { state.suppressed = 0 }
      return state.suppressed
    }
    guard let suppressed else { return }
    let text = message()
    logger.warning("\(device): \(text)\(suppressed > 0 ? " (\(suppressed) earlier lines left out)" : "")")
  }
}
