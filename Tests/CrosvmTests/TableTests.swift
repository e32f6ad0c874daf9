import CommandLine
import Testing

@testable import crosvm

struct TableTests {
  private static let every: [[Command]] = paths([Table.crosvm])

  private static func paths(_ path: [Command]) -> [[Command]] {
    [path] + (path.last?.subcommands ?? []).flatMap { paths(path + [$0]) }
  }

  private func names(_ command: Command) -> [String] {
    command.groups.flatMap(\.options).flatMap { option in ["--" + option.name] + (option.short.map { ["-\($0)"] } ?? []) }
  }

  @Test func everyNameHasOneMeaning() {
    for path in TableTests.every {
      let all = path.flatMap(names) + ["--help", "-h"]
      let unavailable = path.flatMap(\.unavailable).flatMap(\.names)
      #expect(Set(all).count == all.count, "\(path.map(\.name)): \(all)")
      #expect(Set(all).isDisjoint(with: unavailable))
      #expect(Set(unavailable).count == unavailable.count)
      #expect(Set(unavailable).isDisjoint(with: path.flatMap(\.subcommands).map(\.name)))
    }
  }

  @Test func everyKeyHasOneMeaning() {
    for table in TableTests.every.flatMap({ $0 }).flatMap(\.groups).flatMap(\.options).compactMap({ $0.shape?.fields }) {
      let keys = table.fields.flatMap { [$0.name] + $0.aliases } + table.unavailable
      #expect(Set(keys).count == keys.count, "\(keys)")
    }
  }

  @Test func rulesNameWhatThereIs() {
    for command in TableTests.every.flatMap({ $0 }) {
      let known = names(command) + command.positionals.map(\.name)
      for rule in command.rules {
        switch rule {
        case .atMostOne(let names), .atLeastOne(let names):
          #expect(Set(names).isSubset(of: known), "\(names)")
        }
      }
    }
  }

  @Test func helpKnowsEveryCommandThatItLists() {
    #expect(Table.commandNames == Table.crosvm.subcommands.filter { !$0.isHidden }.map(\.name))
  }

  @Test func textsEndAsTheyShould() {
    for command in TableTests.every.flatMap({ $0 }) {
      #expect(!command.summary.hasSuffix(".") && command.summary.first?.isLowercase == true)
      #expect(command.details.allSatisfy { $0.hasSuffix(".") })
      for option in command.groups.flatMap(\.options) {
        #expect(option.summary.hasSuffix("."), "\(option.name)")
        #expect((option.shape?.fields?.fields ?? []).allSatisfy { $0.summary.hasSuffix(".") }, "\(option.name)")
      }
    }
  }

  @Test func helpFitsATerminalAndLeavesNothingOut() {
    for path in TableTests.every {
      guard let command = path.last else { continue }
      let text = HelpPage(path).text
      let examples = command.examples.map { "  " + $0.line }
      for line in text.split(separator: "\n") where !examples.contains(String(line)) {
        #expect(line.count <= 80, "\(line)")
      }
      for name in names(command) + command.subcommands.filter({ !$0.isHidden }).map(\.name) + command.positionals.map(\.name) {
        #expect(text.contains(name), "\(name)")
      }
    }
  }

  @Test func manualPagesHoldNoStrayMacro() {
    let macros = [".TH", ".nh", ".ad", ".SH", ".SS", ".PP", ".TP", ".B", ".RS", ".RE"]
    for path in TableTests.every {
      let text = ManualPage(path, version: Version.number, date: Version.date).text
      #expect(text.hasPrefix(".TH "))
      for line in text.split(separator: "\n") where line.hasPrefix(".") || line.hasPrefix("'") {
        #expect(macros.contains(String(line.prefix { $0 != " " })), "\(line)")
      }
      for option in path.last.map(names) ?? [] {
        #expect(text.contains(String(option.flatMap { $0 == "-" ? "\\-" : String($0) })), "\(option)")
      }
    }
  }

  @Test(.enabled(if: File.isInstalled("mandoc"), "needs the package mandoc")) func mandocFindsNothingWrongInManualPages() {
    for path in TableTests.every {
      let text = ManualPage(path, version: Version.number, date: Version.date).text
      File.with(text, suffix: ".1") { page in
        #expect(File.output("mandoc -T lint -W warning \(page)") == "", "\(path.map(\.name))")
      }
    }
  }

  @Test func thePageOfOptionsIsUpToDate() {
    let page = Crosvm.markdown
    let committed = File.contents(File.repository + "/docs/options.md")
    #expect(committed == page, "write docs/options.md anew: swift run crosvm markdown > docs/options.md")
  }
}
