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
