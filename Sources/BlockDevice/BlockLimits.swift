internal import Platform
internal import Synchronization

/// How much of the host a disk may use.
public struct BlockLimits: Sendable, Equatable {
  /// How much a second, and how much at once after a rest.
  public struct Rate: Sendable, Equatable {
    /// What comes in a second, from 1.
    public var perSecond: UInt64
    /// What may be used at once, from 1.
    public var burst: UInt64

    /// Makes a rate; the burst is one second's worth unless given.
    public init(perSecond: UInt64, burst: UInt64? = nil) {
      self.perSecond = perSecond
      self.burst = burst ?? perSecond
    }
  }

  /// Requests of any kind; `nil` for no limit.
  public var requests: Rate?
  /// Bytes read and written; `nil` for no limit.
  public var bytes: Rate?

  /// No limits.
  public init() {}

  /// Whether nothing is limited.
  public var isEmpty: Bool { requests == nil && bytes == nil }
}

/// Keeps all queues of a disk together within its limits.
final class BlockLimiter: Sendable {
  private struct Buckets {
    var requests: TokenBucket?
    var bytes: TokenBucket?
  }

  private let buckets: Mutex<Buckets>

  /// `nil` where nothing is limited.
  init?(_ limits: BlockLimits) {
    guard !limits.isEmpty else { return nil }
    buckets = Mutex(
      Buckets(
        requests: limits.requests.map { TokenBucket(perSecond: $0.perSecond, burst: $0.burst) },
        bytes: limits.bytes.map { TokenBucket(perSecond: $0.perSecond, burst: $0.burst) }))
  }

  /// How many nanoseconds to wait before another request may begin; `nil` when one may now.
  func delay(now: UInt64) -> UInt64? {
    buckets.withLock { buckets in
      let delay = max(buckets.requests?.delay(now: now) ?? 0, buckets.bytes?.delay(now: now) ?? 0)
      return delay > 0 ? delay : nil
    }
  }

  /// Counts a request that has begun.
  ///
  /// - Parameter bytes: What it reads or writes.
  func spend(bytes: UInt64) {
    buckets.withLock { buckets in
      buckets.requests?.spend(1)
      buckets.bytes?.spend(bytes)
    }
  }
}
