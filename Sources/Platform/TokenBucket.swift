/// Says when one may go on who may spend so much a second, and a burst at once after a rest.
///
/// What is spent may be more than what is there: the debt has to be waited off first. So nothing is too large to be done at all.
public struct TokenBucket: Sendable {
  private static let second: UInt64 = 1_000_000_000

  private let perSecond: UInt64
  private let burst: Int64
  /// What may be spent, or a debt.
  private var balance: Int64
  /// When the balance was last reckoned, in nanoseconds; `nil` before the first look.
  private var moment: UInt64?

  /// Makes a full bucket.
  ///
  /// - Parameters:
  ///   - perSecond: How much comes in a second, 1 to 2^40.
  ///   - burst: How much there is at most, from 1; values beyond 2^40 are taken as that.
  public init(perSecond: UInt64, burst: UInt64) {
    self.perSecond = min(max(perSecond, 1), 1 << 40)
    self.burst = Int64(min(max(burst, 1), 1 << 40))
    balance = self.burst
  }

  /// How many nanoseconds to wait before more may be spent; `nil` when it may be now.
  ///
  /// - Parameter now: The monotonic time in nanoseconds.
  public mutating func delay(now: UInt64) -> UInt64? {
    earn(until: now)
    guard balance <= 0 else { return nil }
    let missing = (1 - balance).magnitude
    // Rounded up, so that whoever waits that long finds something.
    return TokenBucket.scaled(missing, by: TokenBucket.second, over: perSecond) + 1
  }

  /// Takes something out.
  public mutating func spend(_ amount: UInt64) {
    balance = max(balance - Int64(min(amount, 1 << 40)), -(1 << 41))
  }

  private mutating func earn(until now: UInt64) {
    guard let before = moment, now > before else {
      if moment == nil { moment = now }
      return
    }
    let room = UInt64(burst - balance)
    let earned = TokenBucket.scaled(now - before, by: perSecond, over: TokenBucket.second)
    if earned >= room {
      balance = burst
      moment = now
    } else if earned > 0 {
      balance += Int64(earned)
      // What is not worth a whole token yet stays to be earned.
      moment = before + TokenBucket.scaled(earned, by: TokenBucket.second, over: perSecond)
    }
  }

  /// The product of two numbers over a third, rounded down; at most 2^63.
  private static func scaled(_ value: UInt64, by factor: UInt64, over divisor: UInt64) -> UInt64 {
    let product = value.multipliedFullWidth(by: factor)
    guard product.high < divisor else { return 1 << 63 }
    return min(divisor.dividingFullWidth(product).quotient, 1 << 63)
  }
}
