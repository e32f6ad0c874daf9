import Platform
import Testing

@Suite struct TokenBucketTests {
  private let second: UInt64 = 1_000_000_000

  @Test func aBurstIsThereAtFirstAndThenTheRate() {
    var bucket = TokenBucket(perSecond: 10, burst: 3)
    for _ in 0..<3 {
      #expect(bucket.delay(now: 5) == nil)
      bucket.spend(1)
    }
    let delay = bucket.delay(now: 5)
    #expect(delay == second / 10 + 1)
    #expect(bucket.delay(now: 5 + second / 10 - 1) != nil)
    #expect(bucket.delay(now: 5 + second / 10 + 1) == nil)
    bucket.spend(1)
    // After a rest there is the burst, and not what all the time would have brought.
    for _ in 0..<3 {
      #expect(bucket.delay(now: 100 * second) == nil)
      bucket.spend(1)
    }
    #expect(bucket.delay(now: 100 * second) != nil)
  }

  @Test func whatIsTooLargeIsDoneAndWaitedOff() {
    var bucket = TokenBucket(perSecond: 1000, burst: 10)
    #expect(bucket.delay(now: 0) == nil)
    bucket.spend(5010)
    let delay = bucket.delay(now: 0) ?? 0
    #expect(delay >= 5 * second && delay < 5 * second + second / 100)
    #expect(bucket.delay(now: delay) == nil)
  }

  /// However often one looks, and however small the pieces are that come in, nothing is lost or won.
  @Test(arguments: [1, 7, 1000, 999_999_937, 1 << 40] as [UInt64])
  func theRateIsKept(perSecond: UInt64) {
    var bucket = TokenBucket(perSecond: perSecond, burst: 1)
    var now: UInt64 = 0
    var spent: UInt64 = 0
    let amount = max(perSecond / 1000, 1)
    for _ in 0..<5000 {
      if let delay = bucket.delay(now: now) { now += delay }
      bucket.spend(amount)
      spent += amount
      _ = bucket.delay(now: now + 1)
    }
    let expected = Double(spent) / Double(perSecond)
    #expect(abs(Double(now) / 1e9 - expected) <= expected / 100 + 1 / Double(perSecond))
  }

  @Test func absurdNumbersDoNotTrap() {
    var bucket = TokenBucket(perSecond: .max, burst: .max)
    for now in [0, 1, .max / 2, .max, 0, .max] as [UInt64] {
      _ = bucket.delay(now: now)
      for _ in 0..<3 { bucket.spend(.max) }
    }
    var slow = TokenBucket(perSecond: 0, burst: 0)
    slow.spend(.max)
    #expect(slow.delay(now: 0) != nil)
  }
}
