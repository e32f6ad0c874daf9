import Glibc

/// The command: `guest-tests --check-calls LOG...` compares recordings with the policies; and `guest-tests --crosvm PATH --guest DIR --scratch DIR --golden DIR [--filter TEXT]... [--exclude TEXT]... [--jobs N]
/// [--run-options WORDS] [--claims DIR] [--record-calls] [--thorough] [--list]`.
enum GuestTestCommand {
  private static let options = [
    "--crosvm", "--guest", "--scratch", "--golden", "--filter", "--exclude", "--jobs", "--run-options", "--claims",
  ]

  static func main() {
    var values: [String: String] = [:]
    var arguments = CommandLine.arguments.dropFirst()
    if arguments.first == "--check-calls" { checkCalls(Array(arguments.dropFirst())) }
    var (recordsCalls, isThorough) = (false, false)
    var (filters, exclusions): ([String], [String]) = ([], [])
    while let name = arguments.popFirst() {
      if name == "--record-calls" {
        recordsCalls = true
        continue
      }
      if name == "--thorough" {
        isThorough = true
        continue
      }
      if name == "--list" {
        for test in allTests { print(test.name) }
        exit(0)
      }
      let parts = name.split(separator: "=", maxSplits: 1).map { String($0) }
      let name = parts[0]
      guard options.contains(name), let value = parts.count > 1 ? parts[1] : arguments.popFirst() else {
        usage("unknown or incomplete option \(name)")
      }
      if name == "--filter" { filters.append(value) }
      if name == "--exclude" { exclusions.append(value) }
      values[name] = value
    }
    guard let crosvm = values["--crosvm"], let guest = values["--guest"], let golden = values["--golden"] else {
      usage("--crosvm, --guest and --golden are needed")
    }
    let environment = TestEnvironment(
      crosvm: crosvm, guestFolder: guest, scratch: values["--scratch"] ?? "/tmp",
      runOptions: (values["--run-options"] ?? "").split(separator: " ").map { String($0) }, golden: golden,
      isThorough: isThorough)
    let tests = allTests.filter { test in
      (filters.isEmpty || filters.contains(where: test.name.contains)) && !exclusions.contains(where: test.name.contains)
    }
    guard !tests.isEmpty else { usage("no test is left") }
    if recordsCalls {
      do { try SystemCalls.record() } catch { usage("system calls cannot be recorded: \(error)") }
    }
    // After each test, for a host may be lost later.
    let isGood = TestRunner.run(
      tests, in: environment, workers: values["--jobs"].flatMap { Int($0) } ?? 2, claims: values["--claims"],
      report: { [recordsCalls] in recordsCalls ? SystemCalls.recorded() : [] })
    exit(isGood ? 0 : 1)
  }

  private static func checkCalls(_ logs: [String]) -> Never {
    do {
      let complaints = try SystemCalls.check(logs.flatMap { Child.read($0).split(separator: "\n").map { String($0) } })
      for complaint in complaints { print(complaint) }
      exit(complaints.isEmpty ? 0 : 1)
    } catch { usage("\(error)") }
  }

  private static func usage(_ problem: String) -> Never {
    print("guest-tests: \(problem)")
    exit(2)
  }
}
