/// Decides whether a thread, when it is woken, waits until those that run at the moment have had their turn.
///
/// The kernel lets a thread that was woken go before the others at once. On a host with fewer processors than threads that want one, those
/// it goes before are the guest, or the program at the other end of the network; what they were about to do next then comes too late
/// to be served with the rest, and everybody is interrupted for each frame. A thread that waits (SCHED_BATCH, sched(7)) finds several.
/// Where others want the processors as well, it may wait for long. So it is tried: while there is much to do, a while of the one way is
/// compared with a while of the other, and the way that does more is kept. Who has little to do is not kept waiting.
struct TurnTaking {
  /// What is compared, in nanoseconds.
  private static let window: UInt64 = 40_000_000
  /// How often, at least, a busy thread is woken in a window: one that goes at once, and one that waits.
  private static let busy = (atOnce: 8, waiting: 2)
  /// By how much the other way must be better: a sixteenth.
  private static let gain = 1.0625
  /// How many windows lie between two trials, at first and at most; twice as many after each in vain.
  private static let rest = (first: 4, most: 64)

  /// How much there is to do for a frame of so many bytes: a small one takes some time, too.
  static func work(bytes: UInt64) -> UInt64 { bytes &+ 256 }

  /// Whether to wait.
  private(set) var waits = false
  private var start: UInt64
  private var base: UInt64 = 0
  private var wakes = 0
  /// What was done in a nanosecond before the other way was tried; nil while none is tried.
  private var before: Double?
  private var interval = TurnTaking.rest.first
  private var untilTrial = 1

  /// - Parameter now: The time in nanoseconds since whenever.
  init(now: UInt64) { start = now }

  /// Notes that the thread was woken.
  ///
  /// - Parameters:
  ///   - served: How much it has done in all, in any unit.
  ///   - now: The time in nanoseconds.
  /// - Returns: Whether `waits` has changed.
  mutating func woken(served: UInt64, now: UInt64) -> Bool {
    wakes += 1
    let elapsed = now &- start
    guard elapsed >= TurnTaking.window else { return false }
    let isBusy = wakes >= (waits ? TurnTaking.busy.waiting : TurnTaking.busy.atOnce) && elapsed < 4 * TurnTaking.window
    let rate = Double(served &- base) / Double(elapsed)
    (start, base, wakes) = (now, served, 0)
    guard isBusy else {
      before = nil
      return change(to: false)
    }
    if let before = before.take() {
      guard rate < before * TurnTaking.gain else {
        (interval, untilTrial) = (TurnTaking.rest.first, TurnTaking.rest.first)
        return false
      }
      interval = min(interval * 2, TurnTaking.rest.most)
      untilTrial = interval
      return change(to: !waits)
    }
    untilTrial -= 1
    guard untilTrial <= 0 else { return false }
    before = rate
    return change(to: !waits)
  }

  private mutating func change(to value: Bool) -> Bool {
    defer { waits = value }
    return waits != value
  }
}
