internal import Platform

/// A timer that calls back, on the machine's event loop, when it expires.
///
/// It is there before the guest runs: who answers a guest's access makes no descriptors and starts no threads.
final class InterruptTimer: Sendable {
  private let timer: TimerFD
  private let loop: EventLoop

  /// Makes a timer that does not run.
  init(loop: EventLoop) throws(SystemError) {
    self.loop = loop
    timer = try TimerFD()
  }

  deinit { loop.remove(timer.number) }

  /// Sets what is called at each end, on the loop's thread; once.
  func onExpiry(_ expired: @escaping @Sendable () -> Void) throws(SystemError) {
    try loop.add(timer.number) { [timer] _ in
      // Nothing to take when the timer was stopped or restarted meanwhile.
      if timer.drain() > 0 { expired() }
    }
  }

  /// Makes the timer expire once, so many nanoseconds from now; what it was set to before is forgotten.
  func start(after delay: UInt64) { timer.start(after: delay) }

  /// Makes the timer expire no more.
  func stop() { timer.stop() }
}
