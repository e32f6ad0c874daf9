import CLinux
import Testing

@testable import Seccomp

@Suite struct PolicySyntaxTests {
  @Test(
    "each verdict does what it says",
    arguments: [
      ("1", .allow), ("allow", .allow), ("kill", .killProcess), ("kill-process", .killProcess), ("return EPERM", .fail(1)),
      ("return 4094", .fail(4094)), ("arg0 == 7", .allow), ("arg0 == 8", .trap), ("arg0 == 8; return ENOENT", .fail(2)),
      ("arg0 == 8 || arg0 == 9 || arg0 == 7; return ENOENT", .allow), ("arg0 == 7 && arg1 == 1", .trap), ("arg0 >= 6 && arg0 <= 8", .allow),
      ("arg0 >= 8 && arg0 <= 9", .trap), ("arg0 == (1|2)|4", .allow), ("arg0 == ~~7", .allow), ("arg0 in ~0x8", .allow),
      ("arg0 == 0x7", .allow), ("arg0 == 07", .allow), ("arg0 == 0o7", .allow), ("arg0 == PROT_READ|PROT_WRITE|PROT_EXEC", .allow),
      ("arg0 != -1", .allow), ("arg0==7", .allow), ("arg0 & 1 # no more", .allow), ("arg0 == 1 || \\\n  arg0 == 7", .allow),
    ] as [(String, Decision)])
  func eachVerdictDoesWhatItSays(verdict: String, decision: Decision) throws {
    #expect(try Filter("read: \(verdict)\n").decision("read", 7) == decision)
    #expect(try Filter("{close, read }:\(verdict)\r\n").decision("close", 7) == decision)
  }

  @Test func otherCallsAreViolations() throws {
    let policy = try SeccompPolicy("# one\n\nread: 1 # two\n")
    for (violation, decision) in [(.trap, .trap), (.killProcess, .killProcess), (.log, .log)] as [(SeccompPolicy.Violation, Decision)] {
      let filter = PacketFilter(try policy.compile(onViolation: violation).bytes)
      #expect(try filter.decision(on: CallData(number: 1, architecture: Architecture.native.token)).decision == decision)
    }
    #expect(try Filter("@default log\n@frequency ./x\nread: 1").decision("write") == .log)
  }

  @Test(
    "a mistake is named with its line",
    arguments: [
      ("read", 1, "the line ends after 'read'"), ("\nread: 1\n\nraed: 1", 4, "'raed' is no system call"),
      ("read: 2", 1, "'2' is not known"),
      ("read: 1 1", 1, "'1' is too much"), ("read:", 1, "the line ends where"), ("read: arg6 == 1", 1, "'arg6'"),
      ("read: arg0", 1, "no operator"), ("read: arg0 = 1", 1, "'=' is no operator; write =="),
      ("read: arg0 == =", 1, "'='"), ("read: arg0 == FOO", 1, "'FOO' is no constant"),
      ("read: arg0 == 09", 1, "'09' is no number"),
      ("read: arg0 == 0x1ffffffffffffffff", 1, "no number of 64 bits"), ("read: arg0 == 1 &&", 1, "the line ends where"),
      ("read: arg0 == 1 || \\\n\\\n arg1 == FOO", 3, "'FOO'"), ("read: 1\nread: 1", 2, "has a line already, test.policy:1"),
      ("{read, write: 1", 1, "':' stands after the names"), ("{}: 1", 1, "'}' stands where"), ("read: return", 1, "the line ends where"),
      ("read: return EWHAT", 1, "'EWHAT' is no error"), ("read: return 0", 1, "'0' is no error"),
      ("read: return 4095", 1, "'4095' is no error"),
      ("read: arg0 == 1; kill", 1, "'kill' is not known here"), ("read: 1 \\", 1, "ends after a '\\'"), ("@default", 1, "'@default '"),
      ("@default log\n@default log", 2, "already at test.policy:1"), ("@defualt log", 1, "'@defualt'"),
      ("read: arg0 < 0", 1, "never holds"),
      ("read: arg0 >= 0", 1, "always holds"), ("read: arg0 & 0", 1, "never holds"), ("read: arg0 == (1", 1, "write ')'"),
      ("read: arg0 == ((((((((((1))))))))))", 1, "brackets"), ("read: \u{e9}", 1, "the byte 0xc3"), ("@include", 1, "needs the name"),
      ("@include ../x", 1, "leaves the policy's directory"), ("@include /x", 1, "leaves"), ("@include a/../x", 1, "leaves"),
      ("@include x", 1, "'x' is missing"),
    ])
  func aMistakeIsNamedWithItsLine(text: String, line: Int, words: String) throws {
    let message = try #require(mistake(in: text))
    #expect(message.hasPrefix("test.policy:\(line): "), "\(message)")
    #expect(message.contains(words), "\(message)")
  }

  @Test func includedFilesAreFoundBesideTheirIncluder() throws {
    let policy = try SeccompPolicy(
      "@include ./a.policy\nread: 1", file: "dir/test.policy",
      files: [
        "dir/a.policy": "@include sub/b.policy\nwrite: 1", "dir/sub/b.policy": "@include c.policy", "dir/sub/c.policy": "close: kill",
      ])
    #expect(policy.allowedCalls == ["write", "read"])
    #expect(policy.removing("read").allowedCalls == ["write"])
  }

  @Test func mistakesOfIncludedFilesAreTheirs() {
    #expect(mistake(in: "@include a", files: ["a": "\nx: 1"])?.hasPrefix("a:2: 'x'") == true)
    #expect(mistake(in: "read: 1\n@include a", files: ["a": "read: 1"])?.contains("a:1: 'read' has a line already, test.policy:1") == true)
    #expect(mistake(in: "@include a", files: ["a": "@include ./test.policy", "test.policy": ""])?.contains("includes itself") == true)
    let chain = Dictionary(uniqueKeysWithValues: (0..<20).map { ("f\($0)", "@include f\($0 + 1)") })
    #expect(mistake(in: "@include f0", files: chain)?.contains("deep") == true)
    #expect(mistake(in: String(repeating: "@include a\n", count: 40), files: ["a": ""])?.contains("more than 32 files") == true)
  }

  @Test func policiesThatAreTooLargeAreRefused() {
    let alternatives = (0..<2000).map { "arg0 == \($0)" }.joined(separator: " || ")
    #expect(mistake(in: "read: \(alternatives)")?.contains("4096") == true)
    #expect(mistake(in: String(repeating: "#", count: 300 << 10))?.contains("longer") == true)
  }

  @Test func hostileTextNeverTraps() {
    var random = SeededGenerator(seed: 2)
    let policies = EmbeddedPolicies.files.keys.sorted().compactMap { EmbeddedPolicies.files[$0] }.map { Array($0.utf8) }
    let pieces = [
      "arg0", "==", "&", "|", "||", "~", "(", ")", "{", "}", "@include a", "\\\n", ";", "return", "0x", "-", "\r\n", ":", "read", "\0",
    ]
    for round in 0..<1500 {
      var bytes: [UInt8]
      if round % 3 == 0 {
        bytes = (0..<Int.random(in: 0...200, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      } else if round % 3 == 1 {
        bytes = (0..<40).flatMap { _ in Array((pieces.randomElement(using: &random) ?? "").utf8) + [32] }
      } else {
        bytes = Array((policies.randomElement(using: &random) ?? []).prefix(Int.random(in: 0...3000, using: &random)))
        for _ in 0..<3 where !bytes.isEmpty {
          bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
      }
      _ = mistake(in: String(decoding: bytes, as: UTF8.self), files: ["a": String(decoding: bytes.prefix(50), as: UTF8.self)])
    }
  }

  @Test func onlyWholeProgramsAreTaken() throws {
    #expect(throws: PolicyError.notAProgram(count: 0)) { try SeccompProgram(bytes: []) }
    #expect(throws: PolicyError.notAProgram(count: 9)) { try SeccompProgram(bytes: [UInt8](repeating: 0, count: 9)) }
    #expect(throws: PolicyError.tooLarge(instructions: 4097)) { try SeccompProgram(bytes: [UInt8](repeating: 0, count: 8 * 4097)) }
  }

  @Test func callsHaveNames() {
    #expect(SeccompNames.name(ofCall: Int(SYS_ioctl)) == "ioctl")
    for number in [-1, 99999, Int.max, Int.min] { #expect(SeccompNames.name(ofCall: number) == "system call \(number)") }
  }
}
