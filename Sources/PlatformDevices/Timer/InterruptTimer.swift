internal import Platform

/// A timer with a thread of its own that calls back when it expires.
///
/// Devices make one when the guest first asks for a timer interrupt, so that a guest that never does costs no thread.
final class InterruptTimer: Sendable {
  private let timer: TimerFD
  private let loop: EventLoop
  private let thread: PThread

  /// Starts the thread; the timer does not run yet.
  init(name: String, expired: @escaping @Sendable () -> Void) throws(SystemError) {
    let timer = try TimerFD()
    let loop = try EventLoop()
    try loop.add(timer.number) { _ in
      // Nothing to take when the timer was stopped or restarted meanwhile.
      if timer.drain() > 0 { expired() }
    }
    self.timer = timer
    self.loop = loop
    thread = try PThread(name: name) {
      SignalFD.blockAll()
      try? loop.run()
    }
  }

  // The thread is not joined: it may be the one that lets go of the last reference.
  deinit { loop.stop() }

  /// Makes the timer expire once, so many nanoseconds from now; what it was set to before is forgotten.
  func start(after delay: UInt64) { timer.start(after: delay) }

  /// Makes the timer expire no more.
  func stop() { timer.stop() }
}
