import CommandLine
import Logging
import Testing

@testable import crosvm

struct LogTests {
  private func handler(_ label: String, levels: String) throws -> LineLogHandler {
    let options = try GlobalOptions(CommandParser.parse(["--no-syslog", "--log-level", levels, "version"], with: Table.crosvm).levels[0])
    return LineLogHandler(label: label, sink: LogSink(options))
  }

  @Test func thePartOfTheLabelAfterItsLastFullStopChoosesTheLevel() throws {
    #expect(try handler("crosvm.pci", levels: "warn,pci=trace").logLevel == .trace)
    #expect(try handler("crosvm", levels: "warn,pci=trace").logLevel == .warning)
    #expect(try handler("", levels: "error").logLevel == .error)
  }

  @Test func aGuestCannotForgeALine() {
    #expect(LogSink.oneLine("a\nb\r\u{1b}[2Jc\u{85}d") == "a?b??[2Jc?d")
    #expect(LogSink.oneLine("größe") == "größe")
  }
}
