import CommandLine
import Testing

struct CommandParserTests {
  private static let verbose = Flag("verbose", short: "v", "Say more.")
  private static let tag = Option("tag", .text("TAG"), "A name.")
  private static let count = Option("count", short: "c", .integer(1...32), "How many.")
  private static let params = Option("host-params", short: "p", .text("TEXT"), isRepeatable: true, "Words.")
  private static let firmware = Option("bios", .path(), "A firmware.")
  private static let kernel = Positional("KERNEL", .path(), isRequired: false, "A kernel.")
  private static let sockets = Positional("SOCKET", .path(), isRepeatable: true, "Sockets.")

  private static let root = Command("vm", "test") {
    $0.groups = [OptionGroup("Common", [verbose.description, tag.description])]
    $0.subcommands = [
      Command("run", "run") {
        $0.groups = [OptionGroup("Run", [count.description, params.description, firmware.description])]
        $0.positionals = [kernel.description]
        $0.rules = [.atLeastOne(["KERNEL", "--bios"]), .atMostOne(["KERNEL", "--bios"]), .atMostOne(["--host-params", "--bios"])]
        $0.unavailable = [Command.Unavailable("it has no network", "--net", "-n")]
      },
      Command("stop", "stop") { $0.positionals = [sockets.description] },
      Command("version", "version"),
      Command("secret", "secret") { $0.isHidden = true },
    ]
    $0.unavailable = [Command.Unavailable("it has no pause", "pause")]
  }

  private func parse(_ words: String...) throws(UsageError) -> Invocation {
    try CommandParser.parse(words, with: CommandParserTests.root)
  }

  private func line(_ words: [String]) -> String {
    do {
      let invocation = try CommandParser.parse(words, with: CommandParserTests.root)
      for level in invocation.levels {
        _ = try level.value(of: CommandParserTests.count)
      }
      return "accepted"
    } catch {
      return "\(error)"
    }
  }

  @Test(arguments: [["--count=4"], ["--count", "4"], ["-c4"], ["-c", "4"], ["-c=4"], ["-c", "0x4"]])
  func aValueIsGivenInAnyWay(words: [String]) throws {
    let invocation = try CommandParser.parse(["run"] + words + ["k"], with: CommandParserTests.root)
    #expect(try invocation.levels[1].value(of: CommandParserTests.count) == 4)
    #expect(try invocation.levels[1].value(of: CommandParserTests.kernel) == "k")
    #expect(invocation.path == ["run"])
  }

  @Test func optionsMayFollowArgumentsUntilTwoHyphens() throws {
    let invocation = try parse("run", "k", "-p", "a", "--host_params=b", "-v")
    #expect(try invocation.levels[1].values(of: CommandParserTests.params) == ["a", "b"])
    #expect(invocation.levels[0].contains(CommandParserTests.verbose))
    #expect(try parse("run", "--", "-v").levels[1].value(of: CommandParserTests.kernel) == "-v")
    #expect(try parse("run", "-").levels[1].value(of: CommandParserTests.kernel) == "-")
  }

  @Test func valuesMayBeginWithAHyphenUnlessTheyAreOptions() throws {
    let invocation = try parse("run", "-p", "-x", "-p", "--init=/bin/sh", "-p=-c", "--host-params=--bios", "k")
    #expect(try invocation.levels[1].values(of: CommandParserTests.params) == ["-x", "--init=/bin/sh", "-c", "--bios"])
  }

  @Test func emptyValuesAreTakenAsWordsOfTheirOwn() throws {
    #expect(try parse("run", "-p", "", "k").levels[1].values(of: CommandParserTests.params) == [""])
  }

  @Test func argumentsMayRepeatWhereTheTableSaysSo() throws {
    #expect(try parse("stop", "a", "b", "c").levels[1].values(of: CommandParserTests.sockets) == ["a", "b", "c"])
  }

  @Test func helpIsAskedForOrMeant() throws {
    for words in [
      [], ["--help"], ["-h"], ["run", "--help"], ["run", "k", "-h"], ["stop", "--help"], ["-v", "run", "--help", "--bogus"],
    ] {
      let invocation = try CommandParser.parse(words, with: CommandParserTests.root)
      guard case .help = invocation.request else {
        Issue.record("\(words)")
        continue
      }
    }
    #expect(try parse("run", "--help").commands.map(\.name) == ["vm", "run"])
  }

  @Test(arguments: [
    (["-v"], "vm: no command is named; give run, stop or version"),
    (["rnu"], "vm: \"rnu\" is not a command; did you mean run? give run, stop or version"),
    (["pause"], "vm: the command \"pause\" is not available in this build: it has no pause"),
    (["run"], "vm run: there is no KERNEL and no --bios; give one of them"),
    (["run", "k", "--bios", "b"], "vm run: KERNEL and --bios exclude each other; give one of them"),
    (["run", "-p", "x", "--bios", "b"], "vm run: --host-params and --bios exclude each other; give one of them"),
    (["run", "k", "l"], "vm run: \"l\" is one argument too many; the last is KERNEL, and options begin with --"),
    (["version", "x"], "vm version: \"x\" is one argument too many; the command takes none"),
    (["stop"], "vm stop: the argument SOCKET is missing; give a path"),
    (["run", "--contu", "1"], "vm run: \"--contu\" is not an option; did you mean --count? vm run --help lists all"),
    (["run", "--contu=1"], "vm run: \"--contu\" is not an option; did you mean --count? vm run --help lists all"),
    (["run", "-x"], "vm run: \"-x\" is not an option; vm run --help lists all"),
    (["run", "-count", "1"], "vm run: \"-count\" has one hyphen and the name of a long option; give --count"),
    (["run", "-count=1"], "vm run: \"-count=1\" has one hyphen and the name of a long option; give --count"),
    (["run", "-verbos"], "vm run: -v takes no value; drop \"erbos\""),
    (["run", "--net", "x"], "vm run: --net is not available in this build: it has no network"),
    (["run", "-nx"], "vm run: -n is not available in this build: it has no network"),
    (["run", "--count"], "vm run: --count has no value; give --count N"),
    (["run", "-c"], "vm run: -c has no value; give -c N"),
    (["run", "--count="], "vm run: --count= has no value after the =; give --count=N"),
    (["run", "--count", "--"], "vm run: --count has no value, as \"--\" is an option; give --count N, or --count=-- if it is the value"),
    (["run", "-c", "-v"], "vm run: -c has no value, as \"-v\" is an option; give -c N, or -c=-v if it is the value"),
    (["run", "-c", "--bios=x"], "vm run: -c has no value, as \"--bios=x\" is an option; give -c N, or -c=--bios=x if it is the value"),
    (
      ["run", "-c", "--bios=a\nb"],
      "vm run: -c has no value, as \"--bios=a\\nb\" is an option; give -c N, or -c=... if it is the value"
    ),
    (["run", "-c1", "--count", "2"], "vm run: --count is given twice, the second time with \"2\"; give it once"),
    (["run", "--verbose=1"], "vm run: --verbose takes no value; drop \"1\""),
    (["run", "--verbose="], "vm run: --verbose takes no value; drop \"\""),
    (["run", "k", "-c", "33"], "vm run: --count: \"33\" is out of range; give a whole number from 1 to 32"),
    (["run", "k", "-c", "a\nb"], "vm run: --count: \"a\\nb\" is not a whole number; give a whole number from 1 to 32"),
    (["--host-params", "x", "run"], "vm: \"--host-params\" is not an option; vm --help lists all"),
    (["run", "---"], "vm run: \"---\" is not an option; vm run --help lists all"),
    (["run", "--=x"], "vm run: \"--\" is not an option; vm run --help lists all"),
  ])
  func mistakesGetOneLine(words: [String], expected: String) {
    #expect(line(words) == expected)
  }

  @Test func endlessValuesAreCutInMessages() {
    let line = line(["run", "k", "-c", String(repeating: "x", count: 100_000)])
    #expect(line.count < 250)
    #expect(line.contains("xxx..."))
  }

  @Test func anyFewWordsAreTakenWithoutATrap() {
    let words = ["run", "-", "--", "-c", "--count=", "-h", "--bios", "k", "", "-p=", "=", "-é", "stop"]
    for first in words {
      for second in words {
        for third in words {
          let line = line([first, second, third])
          #expect(!line.contains("\n") && !line.isEmpty)
        }
      }
    }
  }
}
