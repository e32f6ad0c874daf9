internal import Platform

/// A clock that stands still while the device is suspended, so that nobody's time runs out who could not be heard.
struct SteadyClock {
  /// What the host's clock says, in monotonic nanoseconds.
  private let host: () -> UInt64
  /// For how long the clock has stood still in all.
  private var held: UInt64 = 0
  /// Since when it stands still, by the host's clock; nil while it runs.
  private var stoppedAt: UInt64?

  /// - Parameter host: The host's clock.
  init(host: @escaping () -> UInt64 = monotonicNanoseconds) { self.host = host }

  /// Nanoseconds; those of the host's clock until the first stop.
  var now: UInt64 { (stoppedAt ?? host()) &- held }

  /// When the host's clock will say that a time of this one has come; later, should this one be stopped before.
  func hostTime(of time: UInt64) -> UInt64 { time &+ held }

  /// Stops the clock, if it runs.
  mutating func stop() { stoppedAt = stoppedAt ?? host() }

  /// Has the clock go on, if it stands still.
  mutating func start() {
    guard let since = stoppedAt.take() else { return }
    held &+= host() &- since
  }
}
