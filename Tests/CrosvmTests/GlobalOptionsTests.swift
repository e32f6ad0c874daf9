import CommandLine
import Logging
import Testing

@testable import crosvm

struct GlobalOptionsTests {
  private func options(_ words: String...) throws -> GlobalOptions {
    try GlobalOptions(CommandParser.parse(words, with: Table.crosvm).levels[0])
  }

  @Test func theyMayStandBeforeAndAfterTheCommand() throws {
    for options in [
      try options("--extended-status", "--no-syslog", "--syslog-tag", "vm1", "--log-level=debug", "run", "k"),
      try options("run", "k", "--extended-status", "--no-syslog", "--syslog-tag", "vm1", "--log-level=debug"),
    ] {
      #expect(options.hasExtendedStatus && !options.usesSyslog && options.syslogTag == "vm1" && options.logLevels["x"] == .debug)
    }
    let defaults = try options("version")
    #expect(!defaults.hasExtendedStatus && defaults.usesSyslog && defaults.syslogTag == nil && defaults.logLevels["x"] == .info)
  }

  @Test func levelsAreChosenForEachPart() throws {
    let levels = try options("--log-level", "warn,block=trace,rng=off", "version").logLevels
    #expect(levels["other"] == .warning)
    #expect(levels["block"] == .trace && levels["block12"] == .trace)
    #expect(levels["rng"] == .some(.none))
    for (text, place) in [
      ("loud", ""), ("", ""), ("info,", ", at character 6"), ("block=loud", ", at character 7"), ("=", ", at character 2"),
    ] {
      #expect {
        _ = try options("--log-level", text, "version")
      } throws: { error in
        "\(error)".contains("is not a level\(place); give off, error, warn, info, debug or trace")
      }
    }
  }

  @Test func exitStatusesAreThoseOfTheOriginalUnlessMoreIsAsked() {
    #expect(ExitStatus.allCases.map { $0.code(isExtended: false) } == [0, 1, 2, 0, 1, 1])
    #expect(ExitStatus.allCases.map { $0.code(isExtended: true) } == [0, 1, 2, 32, 33, 34])
  }

  @Test(
    arguments: [
      (["bogus"], 2), (["--bogus"], 2), (["run"], 2), (["run", "/no/such/kernel"], 2), (["run", "/tmp"], 2), (["help", "bogus"], 2),
      (["man", "bogus"], 2), (["completions", "tcsh"], 2), (["version", "--x"], 2), (["--log-level", "loud", "version"], 2),
    ] as [([String], Int32)])
  func mistakesEndWithTwo(words: [String], status: Int32) {
    #expect(Crosvm.main(["crosvm"] + words) == status)
  }
}
