internal import Logging
internal import Platform
internal import Synchronization

/// A device's log lines that a guest can cause: a few at once, then silence for a while, so that no guest fills the host's log.
final class DeviceLog: Sendable {
  private let device: String
  private let logger: Logger
  private let quota = Mutex(LineQuota(lines: 5, seconds: 60))

  init(device: String, logger: Logger) {
    self.device = device
    self.logger = logger
  }

  func warning(_ message: @autoclosure () -> String) {
    let suppressed = quota.withLock { $0.admit(now: monotonicNanoseconds()) }
    guard let suppressed else { return }
    let text = message()
    logger.warning("\(device): \(text)\(suppressed > 0 ? " (\(suppressed) earlier lines left out)" : "")")
  }
}
