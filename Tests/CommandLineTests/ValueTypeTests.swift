import CommandLine
import Testing

/// The line of the error that a value ends in.
func line<Value>(of value: String, _ type: ValueType<Value>) -> String {
  do {
    return "accepted: \(try type.value(of: value))"
  } catch {
    return error.description(in: value)
  }
}

struct ValueTypeTests {
  private enum Colour: String, CaseIterable {
    case red, green, blue
  }

  @Test(arguments: [("1", 1), ("32", 32), ("0x10", 16), ("0X1f", 31), ("007", 7)])
  func integers(text: String, value: Int) throws {
    #expect(try ValueType<Int>.integer(1...32).value(of: text) == value)
  }

  @Test(arguments: [
    ("0", "\"0\" is out of range; give a whole number from 1 to 32"),
    ("33", "\"33\" is out of range; give a whole number from 1 to 32"),
    ("-1", "\"-1\" is out of range; give a whole number from 1 to 32"),
    ("18446744073709551615", "\"18446744073709551615\" is out of range; give a whole number from 1 to 32"),
    ("18446744073709551616", "\"18446744073709551616\" is out of range; give a whole number from 1 to 32"),
    ("99999999999999999999999999999999999999999", "out of range"),
    ("0xffffffffffffffffff", "out of range"),
    ("", "\"\" is not a whole number"), ("0x", "not a whole number"), ("1 ", "not a whole number"), ("+1", "not a whole number"),
    ("1e3", "not a whole number"), ("--1", "not a whole number"), ("-", "not a whole number"), ("٣", "not a whole number"),
    ("0x-1", "not a whole number"), ("１", "not a whole number"),
  ])
  func integersOutOfBoundsOrNoneAtAll(text: String, words: String) {
    let line = line(of: text, .integer(1...32))
    #expect(line.contains(words), "\(line)")
  }

  @Test func integersReachTheEndsOfTheirType() throws {
    let type = ValueType<Int>.integer(Int.min...Int.max)
    #expect(try type.value(of: "9223372036854775807") == Int.max)
    #expect(try type.value(of: "-9223372036854775808") == Int.min)
    #expect(line(of: "-9223372036854775809", type).contains("out of range"))
    #expect(line(of: "-18446744073709551615", type).contains("out of range"))
    #expect(line(of: "-18446744073709551616", type).contains("out of range"))
  }

  @Test(
    arguments: [
      ("0", 0), ("512", 512), ("4K", 4096), ("4k", 4096), ("4KiB", 4096), ("1M", 1 << 20), ("1MiB", 1 << 20), ("2G", 2 << 30),
      ("1gib", 1 << 30), ("1T", 1 << 40), ("0x10", 16), ("0x10K", 16384), ("16777215T", 16_777_215 << 40),
      ("18446744073709551615", UInt64.max), ("7b", 7),
    ] as [(String, UInt64)])
  func sizes(text: String, value: UInt64) throws {
    #expect(try ValueType<UInt64>.size(.bytes).value(of: text) == value)
  }

  @Test(arguments: [
    ("16777216T", "out of range"), ("18446744073709551615K", "out of range"), ("18446744073709551616", "out of range"),
    ("17592186044416M", "out of range"), ("1.5G", "is not a whole number"), ("-1", "is not a"), ("", "is not a size"),
    ("G", "is not a size"), ("1KB", "\"1KB\" has an unknown unit"), ("1P", "\"1P\" has an unknown unit"), ("1 G", "is not a whole number"),
    ("1GG", "unknown unit"), ("0xG", "is not a size"),
  ])
  func sizesThatAreNone(text: String, words: String) {
    let line = line(of: text, .size(.bytes))
    #expect(line.contains(words), "\(line)")
  }

  @Test func mebibytesAreTheUnitWhereThereIsNone() throws {
    let type = ValueType<UInt64>.size(.mebibytes, in: (16 << 20)...(4 << 40))
    #expect(try type.value(of: "256") == 256 << 20)
    #expect(try type.value(of: "65536K") == 64 << 20)
    #expect(line(of: "15", type).hasSuffix("from 16M to 4T"))
    #expect(line(of: "17592186044416", type).contains("out of range"))
    #expect(line(of: "18446744073709551615", type).contains("out of range"))
  }

  @Test func booleans() throws {
    #expect(try ValueType.boolean.value(of: "true") && ValueType.boolean.value(of: "on"))
    #expect(try !ValueType.boolean.value(of: "false") && !ValueType.boolean.value(of: "off"))
    #expect(line(of: "yes", ValueType.boolean) == "\"yes\" is neither true nor false; give true or false, or on or off")
  }

  @Test func choices() throws {
    #expect(try ValueType<Colour>.choice("COLOUR").value(of: "green") == .green)
    #expect(line(of: "gren", ValueType<Colour>.choice("COLOUR")) == "\"gren\" is not possible; did you mean green? give red, green or blue")
    #expect(line(of: "", ValueType<Colour>.choice("COLOUR")) == "\"\" is not possible; give red, green or blue")
  }

  @Test func sizesOfAFew() throws {
    let type = ValueType<Int>.size(oneOf: [512, 4096])
    #expect(try type.value(of: "4096") == 4096 && type.value(of: "4K") == 4096 && type.value(of: "512") == 512)
    for text in ["0", "1K", "4KB", "x", "", "18446744073709551616", "16777216T"] {
      #expect(line(of: text, type) == "\"\(text)\" is not possible; give 512 or 4096")
    }
  }

  @Test func numbersOfAFew() throws {
    let type = ValueType<Int>.integer(oneOf: [512, 4096])
    #expect(try type.value(of: "4096") == 4096)
    for text in ["0", "513", "x", "18446744073709551616"] {
      #expect(line(of: text, type) == "\"\(text)\" is not possible; give 512 or 4096")
    }
  }

  @Test(
    arguments: [
      ("0", [0]), ("0,2", [0, 2]), ("1-3,5", [1, 2, 3, 5]), ("0-0,0", [0]), ("0-1023", Set(0...1023)),
    ] as [(String, Set<Int>)])
  func numberSets(text: String, set: Set<Int>) throws {
    #expect(try ValueType<Set<Int>>.numberSet(0...1023, "CPUS").value(of: text) == set)
  }

  @Test(arguments: [
    ("", "a number is missing; give numbers from 0 to 1023, as in 0,2-3"),
    ("1,", "a number is missing, at character 3; give numbers from 0 to 1023, as in 0,2-3"),
    ("3-1", "the range 3-1 is reversed; give 1-3"),
    ("0,x", "\"x\" is not a whole number, at character 3; give numbers from 0 to 1023, as in 0,2-3"),
    ("0-4294967295", "\"4294967295\" is out of range; give numbers from 0 to 1023, as in 0,2-3"),
    ("1-", "\"\" is not a whole number; give numbers from 0 to 1023, as in 0,2-3"),
    ("1-2-3", "\"2-3\" is not a whole number; give numbers from 0 to 1023, as in 0,2-3"),
  ])
  func numberSetsThatAreNone(text: String, expected: String) {
    #expect(line(of: text, ValueType<Set<Int>>.numberSet(0...1023, "CPUS")) == expected)
  }

  @Test func setsForEachKey() throws {
    let type = ValueType<[Int: Set<Int>]>.numberSets(0...31, 0...1023, "CPUS")
    #expect(try type.value(of: "0=0,2-3:1=4") == [0: [0, 2, 3], 1: [4]])
    #expect(line(of: "0=1:0=2", type) == "there are two sets for 0, at character 5; join them with a comma")
    #expect(line(of: "0=1:2", type) == "\"2\" has no =, at character 5; give a set for each, as in 0=0,2-3:1=4")
    #expect(line(of: "32=1", type) == "\"32\" is out of range; give a whole number from 0 to 31")
    #expect(line(of: "0=1:1=", type).hasPrefix("a number is missing, at character 7"))
  }

  @Test func emptyPathsAndWords() {
    #expect(line(of: "", ValueType<String>.path()) == "the path is empty; give one")
    #expect(line(of: "", ValueType<String>.word("TAG", expected: "a word")) == "the value is empty; give a word")
    #expect(line(of: "", ValueType<String>.text("TEXT")) == "accepted: ")
  }
}
