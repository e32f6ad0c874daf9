import Testing
import VirtioTesting
import VsockTesting

@Suite("Guests and host programs at random")
struct FuzzTests {
  @Test("Whatever they do, good connections get every byte in order, and the device keeps its bounds", arguments: 0..<200 as Range<UInt64>)
  func random(_ seed: UInt64) {
    var generator = SplitMix(state: seed)
    fuzzVsock((0..<4000).map { _ in UInt8.random(in: .min ... .max, using: &generator) })
  }

  @Test("Seeds of the fuzzer are good inputs")
  func seeds() { for seed in VsockSeeds.sessions { fuzzVsock(seed) } }
}
