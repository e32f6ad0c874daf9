import CommandLine
import CommandLineTesting
import Testing

struct ValueParserTests {
  private func text(_ text: String, _ position: Int = 0) -> ValueItem {
    ValueItem(key: nil, value: ValueNode(.text(text), at: position), at: position)
  }

  @Test func everyShortValueEndsInFieldsOrAnErrorInside() {
    let alphabet = Array("a,=[]\"\\1".utf8)
    var values: [[UInt8]] = [[]]
    for length in 0...5 {
      for value in values {
        if let problem = fuzzCommandLineValue(value) { Issue.record("\(String(decoding: value, as: UTF8.self)): \(problem)") }
      }
      if length < 5 { values = values.flatMap { value in alphabet.map { value + [$0] } } }
    }
    #expect(values.count == 32768)
  }

  @Test func anyTwoBytesAreTaken() {
    for first in UInt8.min...UInt8.max {
      for second in UInt8.min...UInt8.max {
        if let problem = fuzzCommandLineValue([first, second]) { Issue.record("\(first) \(second): \(problem)") }
      }
    }
  }

  @Test func fieldsAreTakenApart() throws {
    #expect(
      try ValueParser.fields(in: "disk.img,ro,queues=4") == [
        text("disk.img"), text("ro", 9), ValueItem(key: "queues", value: ValueNode(.text("4"), at: 19), at: 12),
      ])
  }

  @Test func whatIsNoKeyBeforeAnEqualsSignBelongsToTheValue() throws {
    for value in ["/images/size=1.img", "1=2", "=", "./a=b", "-=1"] {
      #expect(try ValueParser.fields(in: value) == [text(value)])
    }
    let path = ValueItem(key: "path", value: ValueNode(.text("/a=b"), at: 5), at: 0)
    #expect(try ValueParser.fields(in: "path=/a=b") == [path])
  }

  @Test func quotesProtectWhatTheyHold() throws {
    #expect(try ValueParser.fields(in: #""a,b=[c]\"\\",x"#) == [text(#"a,b=[c]"\"#), text("x", 14)])
    #expect(try ValueParser.fields(in: "\"\"") == [text("")])
  }

  @Test func listsAndVariantsNest() throws {
    let inner = ValueNode(.list([text("a", 3), text("b", 5)]), at: 2)
    #expect(try ValueParser.fields(in: "x=[a,b]") == [ValueItem(key: "x", value: inner, at: 0)])
    #expect(try ValueParser.fields(in: "[]") == [ValueItem(key: nil, value: ValueNode(.list([])), at: 0)])
    let field = ValueItem(key: "k", value: ValueNode(.text("v"), at: 4), at: 2)
    #expect(try ValueParser.fields(in: "w[k=v]") == [ValueItem(key: nil, value: ValueNode(.variant("w", [field])), at: 0)])
  }

  @Test(arguments: [
    ("", 0, "the value is empty; give one"),
    (",a", 0, "a field is empty; drop the comma or give a field"),
    ("a,", 2, "a field is empty, at character 3; drop the comma or give a field"),
    ("a,,b", 2, "a field is empty, at character 3; drop the comma or give a field"),
    ("ab=", 3, "the key \"ab\" has no value, at character 4; give ab=VALUE"),
    ("ab=,c", 3, "the key \"ab\" has no value, at character 4; give ab=VALUE"),
    ("a\"b", 1, "there is a double quote within a word, at character 2; put the whole value in double quotes, with \\\" within"),
    ("a,\"b", 2, "the double quote is never closed, at character 3; add one at the end of the value"),
    ("\"a\\b\"", 2, "there is a lone \\ within double quotes, at character 3; write \\\\ for a backslash, \\\" for a quote"),
    ("\"a\"b", 3, "there is more after the closing double quote, at character 4; put a comma between, or the whole value in double quotes"),
    ("a=[b", 2, "the [ is never closed, at character 3; add ] at the end of the list"),
    ("a]", 1, "there is a ] without its [, at character 2; put a value that contains ] in double quotes"),
    ("[a]b", 3, "there is more after the ], at character 4; put a comma between, or the whole value in double quotes"),
    ("é,,", 3, "a field is empty, at character 3; drop the comma or give a field"),
  ])
  func errorsSayWhere(value: String, position: Int, line: String) {
    #expect {
      _ = try ValueParser.fields(in: value)
    } throws: { error in
      guard let error = error as? ValueError else { return false }
      #expect(error.position == position)
      #expect(error.description(in: value) == line)
      return true
    }
  }

  @Test func listsDoNotNestForEver() {
    let deep = String(repeating: "[", count: 1_000_000)
    #expect(throws: ValueError("lists lie more than 16 deep", at: 16, remedy: "drop brackets")) {
      try ValueParser.fields(in: deep)
    }
    let possible = String(repeating: "[", count: 16) + String(repeating: "]", count: 16)
    #expect(throws: Never.self) { try ValueParser.fields(in: possible) }
  }
}
