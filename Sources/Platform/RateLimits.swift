internal import Synchronization

/// How much of the host a device may use.
public struct RateLimits: Sendable, Equatable {
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

  /// Requests of any kind, or frames; `nil` for no limit.
  public var requests: Rate?
  /// Bytes moved; `nil` for no limit.
  public var bytes: Rate?

  /// No limits.
  public init() {}

  /// Whether nothing is limited.
  public var isEmpty: Bool { requests == nil && bytes == nil }
}

/// Keeps all queues of a device together within its limits.
public final class RateLimiter: Sendable {
  private struct Buckets {
    var requests: TokenBucket?
    var bytes: TokenBucket?
  }

  private let buckets: Mutex<Buckets>

  /// `nil` where nothing is limited.
  public init?(_ limits: RateLimits) {
    guard !limits.isEmpty else { return nil }
    buckets = Mutex(
      Buckets(
        requests: limits.requests.map { TokenBucket(perSecond: $0.perSecond, burst: $0.burst) },
        bytes: limits.bytes.map { TokenBucket(perSecond: $0.perSecond, burst: $0.burst) }))
  }

  /// How many nanoseconds to wait before another request may begin; `nil` when one may now.
  public func delay(now: UInt64) -> UInt64? {
    buckets.withLock { buckets in
      let delay = max(buckets.requests?.delay(now: now) ?? 0, buckets.bytes?.delay(now: now) ?? 0)
      return delay > 0 ? delay : nil
    }
  }

  /// Counts a request that has begun.
  ///
  /// - Parameter bytes: What it moves.
  public func spend(bytes: UInt64) {
    buckets.withLock { buckets in
      buckets.requests?.spend(1)
      buckets.bytes?.spend(bytes)
    }
  }
}

extension ByteWriter {
  /// Appends a limit, or that there is none.
  public mutating func put(_ rate: RateLimits.Rate?) {
    put(rate?.perSecond ?? 0)
    put(rate?.burst ?? 0)
  }
}

extension ByteReader {
  /// Reads a limit.
  public mutating func getRate() throws(MalformedBytes) -> RateLimits.Rate? {
    let (perSecond, burst): (UInt64, UInt64) = (try get(), try get())
    return perSecond == 0 ? nil : RateLimits.Rate(perSecond: perSecond, burst: burst)
  }
}
