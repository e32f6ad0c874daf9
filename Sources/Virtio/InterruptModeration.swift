public import Platform

/// Decides how many answers share an interrupt, where the driver waits for answers.
///
/// A driver that is busy pays for every interrupt with exits, and for every doorbell after one; a device that is faster than the driver and
/// ends each request at once makes it pay for each. So some answers may wait for others: half as many as the driver was seen to have under
/// way, so that it still has the others to work on. Who has one request at a time is answered at once. How many they are is found by trial:
/// now and then all answers and one more are waited for; the longer that was in vain, the more rarely.
///
/// A wait is worth no more than what it may save: it lasts as long as a few interrupts take, which is measured, for it differs a hundredfold
/// between hosts. Meanwhile others may run: on a host with fewer processors than those who want one, the driver is one of them.
public struct InterruptModeration: Sendable {
  /// From how many requests under way on it makes no difference: half of them are as many as may wait.
  private static let deepest = 2 * HeldAnswers.most.requests
  /// How many times what it takes to interrupt, and how many nanoseconds at most, a wait lasts: with the exits that the driver has for an
  /// interrupt and a doorbell, it costs some times what is measured here.
  private static let patience = (interrupts: UInt64(8), longest: UInt64(1_000_000))
  /// After how many interrupts, at the latest, more is tried.
  private static let rarestTrial = 64
  /// One interrupt in so many is timed.
  private static let timed = 16
  /// How often the queue is looked at before others may run, and the time.
  private static let looks = 32

  private let now: @Sendable () -> UInt64
  private var held = HeldAnswers()
  /// How many requests the driver has under way, as far as was seen.
  private var depth = 1
  /// Whether more are waited for now than there were, in how many interrupts that is tried, and how many lie between two trials.
  private var isTrial = false
  private var untilTrial = 1
  private var interval = 1
  /// How often it was waited for more, and not in vain, since the driver was last told.
  private var waits = 0
  /// What it takes to interrupt, in nanoseconds; zero until the first time.
  private var cost: UInt64 = 0
  private var untilTimed = 0

  /// Begins without answers.
  ///
  /// - Parameter now: The time in nanoseconds since whenever.
  public init(now: @escaping @Sendable () -> UInt64 = { monotonicNanoseconds() }) { self.now = now }

  /// Whether requests were given back since the driver was last told.
  public var hasAnswers: Bool { !held.isEmpty }

  /// Whether the answers may wait for others.
  public var mayHold: Bool { held.mayWait(for: goal) && waits < HeldAnswers.most.requests }

  private var goal: Int { isTrial ? min(depth + 1, HeldAnswers.most.requests) : (depth + 1) / 2 }

  /// Notes that a request was given back.
  public mutating func add(bytes: UInt64) { held.add(bytes: bytes) }

  /// Tells the driver of all answers since the last time.
  public mutating func tell(_ interrupt: () -> Void) {
    if isTrial, held.requests >= goal {
      depth = min(depth * 2, InterruptModeration.deepest)
      interval = 1
    }
    held.removeAll()
    waits = 0
    prepareTrial()
    time(interrupt)
  }

  private mutating func prepareTrial() {
    isTrial = false
    guard depth < InterruptModeration.deepest else { return }
    untilTrial -= 1
    guard untilTrial <= 0 else { return }
    isTrial = true
    untilTrial = interval
  }

  private mutating func time(_ interrupt: () -> Void) {
    guard untilTimed == 0 else {
      untilTimed -= 1
      return interrupt()
    }
    untilTimed = InterruptModeration.timed - 1
    let start = now()
    interrupt()
    let (took, isBackwards) = now().subtractingReportingOverflow(start)
    guard !isBackwards else { return }
    // A thread that lost its processor meanwhile says little: one figure counts for four times the others at most.
    let bounded = min(took, InterruptModeration.patience.longest, cost == 0 ? .max : cost * 4)
    cost = cost == 0 ? bounded : (cost * 7 + bounded) / 8
  }

  /// Looks for more requests for a moment; in vain, fewer answers wait from now on.
  ///
  /// - Returns: Whether there are some.
  public mutating func linger(_ hasMore: () -> Bool) -> Bool {
    if look(hasMore) {
      // What comes may be slow: the answers that are held do not wait for all of it.
      waits += 1
      return true
    }
    depth = max(1, held.requests)
    isTrial = false
    interval = min(interval * 2, InterruptModeration.rarestTrial)
    untilTrial = interval
    return false
  }

  private func look(_ hasMore: () -> Bool) -> Bool {
    let patience = min(cost * InterruptModeration.patience.interrupts, InterruptModeration.patience.longest)
    let start = now()
    repeat {
      if HeldAnswers.look(times: InterruptModeration.looks, hasMore) { return true }
    } while now() &- start < patience
    return hasMore()
  }
}
