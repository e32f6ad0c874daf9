import Glibc

/// The command: `guest-tests --crosvm PATH --guest DIR --scratch DIR --golden DIR [--filter TEXT] [--exclude TEXT] [--jobs N]
/// [--run-options WORDS] [--list]`.
enum GuestTestCommand {
  private static let options = ["--crosvm", "--guest", "--scratch", "--golden", "--filter", "--exclude", "--jobs", "--run-options"]

  static func main() {
    var values: [String: String] = [:]
    var arguments = CommandLine.arguments.dropFirst()
    while let name = arguments.popFirst() {
      if name == "--list" {
        for test in allTests { print(test.name) }
        exit(0)
      }
      guard options.contains(name), let value = arguments.popFirst() else {
        usage("unknown or incomplete option \(name)")
      }
      values[name] = value
    }
    guard let crosvm = values["--crosvm"], let guest = values["--guest"], let golden = values["--golden"] else {
      usage("--crosvm, --guest and --golden are needed")
    }
    let environment = TestEnvironment(
      crosvm: crosvm, guestFolder: guest, scratch: values["--scratch"] ?? "/tmp",
      runOptions: (values["--run-options"] ?? "").split(separator: " ").map { String($0) }, golden: golden)
    let tests = allTests.filter { test in
      values["--filter"].map(test.name.contains) != false && values["--exclude"].map(test.name.contains) != true
    }
    guard !tests.isEmpty else { usage("no test is left") }
    exit(TestRunner.run(tests, in: environment, workers: values["--jobs"].flatMap { Int($0) } ?? 2) ? 0 : 1)
  }

  private static func usage(_ problem: String) -> Never {
    print("guest-tests: \(problem)")
    exit(2)
  }
}
