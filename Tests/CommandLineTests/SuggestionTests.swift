import CommandLine
import Testing

struct SuggestionTests {
  @Test(arguments: [
    ("blok", "block"), ("bolck", "block"), ("blocks", "block"), ("seriel", "serial"), ("ser", "serial"), ("xyz", nil), ("", nil),
    ("s", nil),
  ])
  func theNearestWordIsOffered(word: String, expected: String?) {
    #expect(suggestion(for: word, among: ["block", "serial", "params"]) == expected)
  }

  @Test func longWordsAreNotCompared() {
    #expect(suggestion(for: String(repeating: "a", count: 1_000_000), among: ["a"]) == nil)
    #expect(suggestion(for: "a", among: []) == nil)
  }
}
