/// Decides whether answers wait a little for their interrupt, where nobody waits for them (else see `InterruptModeration`).
///
/// A driver that has many requests under way makes them available one by one, and a device that ends each before the next is there would
/// interrupt it for each; every interrupt, and every doorbell after one, costs the guest an exit. So after a round the queue is looked at
/// a few hundred times more before the interrupt: a few microseconds, less than the exits cost. Then the thread lets others run: on a host
/// with fewer processors than those who want one, the guest cannot make anything available while we look. All that is done only while it
/// pays: a driver with one request at a time is answered at once, but for one time in many that tries anew.
public struct InterruptHold: Sendable {
  /// How often the queue is looked at: with a pause in between, some 5 microseconds.
  private static let looks = 200
  /// How many vain rounds end the lingering, and how many rounds later it is tried again.
  private static let patience = 4
  private static let restart = 64

  private var held = HeldAnswers()
  private var credit = InterruptHold.patience
  private var skipped = 0

  /// Begins without answers.
  public init() {}

  /// Whether requests were given back since the driver was last told.
  public var hasAnswers: Bool { !held.isEmpty }

  /// Whether the answers may wait for others.
  public var mayHold: Bool { held.mayWait(for: HeldAnswers.most.requests) }

  /// Notes that a request was given back.
  public mutating func add(bytes: UInt64) { held.add(bytes: bytes) }

  /// Notes that the driver was told.
  public mutating func reset() { held.removeAll() }

  /// Looks for more requests for a moment, if that has paid of late.
  ///
  /// - Returns: Whether there are some.
  public mutating func linger(_ hasMore: () -> Bool) -> Bool {
    guard credit > 0 || skipped >= InterruptHold.restart else {
      skipped += 1
      return false
    }
    skipped = 0
    let pays = HeldAnswers.look(times: InterruptHold.looks, hasMore) || hasMore()
    credit = pays ? InterruptHold.patience : max(0, credit - 1)
    return pays
  }
}
