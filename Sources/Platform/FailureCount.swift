internal import Synchronization

/// Counts what a guest may cause any number of times, so that the log does not grow with it. To live as long as the device that fails.
public final class FailureCount: Sendable {
  private let total = Atomic<Int>(0)

  /// Begins at zero.
  public init() {}

  /// How many there were.
  public var count: Int { total.load(ordering: .relaxed) }

  /// Counts one more; true for the 1st, 2nd, 4th, 8th...
  public func isWorthALine() -> Bool {
    let count = total.wrappingAdd(1, ordering: .relaxed).newValue
    return count & (count - 1) == 0
  }
}
