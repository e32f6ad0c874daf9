import Testing
import VirtioTesting

@Suite("Fuzzing")
struct FuzzTests {
  @Test("random drivers break no promise of a queue", arguments: 0..<8)
  func randomDrivers(seed: Int) {
    var generator = SplitMix(state: UInt64(seed))
    for round in 0..<300 {
      let bytes = (0..<(16 + round % 240)).map { _ in UInt8(truncatingIfNeeded: generator.next() >> 32) }
      fuzzQueue(bytes)
    }
  }

  @Test("no bytes at all are a driver too")
  func nothing() { fuzzQueue([]) }
}

/// A repeatable source of random numbers (the public-domain SplitMix64).
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}
