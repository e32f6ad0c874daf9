import SeccompTesting
import Testing

@Suite struct FuzzTests {
  @Test func theSeedsBreakNoPromise() {
    for policy in SeccompSeeds.policies {
      for count in 0...policy.count { fuzzSeccompPolicy(Array(policy.prefix(count))) }
    }
  }

  @Test(arguments: 0..<4) func randomWordsBreakNoPromise(_ seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    for round in 0..<300 {
      let words = (0..<(round % 40)).map { _ in SeccompSeeds.words.randomElement(using: &generator) ?? "" }
      fuzzSeccompPolicy(Array(words.joined(separator: round % 2 == 0 ? "" : " ").utf8))
    }
  }
}
