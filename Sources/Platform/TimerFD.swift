internal import CLinux
internal import Glibc

/// A timer that makes a descriptor readable when it expires (timerfd_create(2)), on the monotonic clock.
public final class TimerFD: Sendable {
  private let descriptor: OwnedDescriptor

  /// Makes a timer that is not running.
  public init() throws(SystemError) {
    let flags = Int32(TFD_CLOEXEC) | Int32(TFD_NONBLOCK)
    descriptor = OwnedDescriptor(owning: Int32(try retrying("timerfd") { Int(timerfd_create(CLOCK_MONOTONIC, flags)) }))
  }

  /// The descriptor, lent: readable once the timer has expired.
  public var number: Int32 { descriptor.number }

  /// Starts the timer anew.
  ///
  /// - Parameters:
  ///   - delay: Nanoseconds until it first expires; zero is taken as one.
  ///   - interval: Nanoseconds from each expiry to the next; zero for a timer that expires once.
  public func start(after delay: UInt64, every interval: UInt64 = 0) {
    set(first: max(delay, 1), interval: interval)
  }

  /// Stops the timer; an expiry that nobody has taken is forgotten.
  public func stop() { set(first: 0, interval: 0) }

  /// Takes the number of expiries since the last call or start; zero when there was none.
  @discardableResult
  public func drain() -> UInt64 {
    var count: UInt64 = 0
    let length = unsafe read(descriptor.number, &count, 8)
    return length == 8 ? count : 0
  }

  private func set(first: UInt64, interval: UInt64) {
    var value = itimerspec(it_interval: TimerFD.time(interval), it_value: TimerFD.time(first))
    // Cannot fail: the descriptor is a timer, and both times are valid by construction.
    _ = unsafe timerfd_settime(descriptor.number, 0, &value, nil)
  }

  private static func time(_ nanoseconds: UInt64) -> timespec {
    timespec(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
  }
}

/// The time since an arbitrary moment, in nanoseconds; never goes back (CLOCK_MONOTONIC).
public func monotonicNanoseconds() -> UInt64 {
  var now = timespec()
  unsafe clock_gettime(CLOCK_MONOTONIC, &now)
  return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}

/// The time since 1970-01-01T00:00Z without leap seconds, in nanoseconds; negative before (CLOCK_REALTIME).
public func realTimeNanoseconds() -> Int64 {
  var now = timespec()
  unsafe clock_gettime(CLOCK_REALTIME, &now)
  return Int64(now.tv_sec) &* 1_000_000_000 &+ Int64(now.tv_nsec)
}
