import Glibc
import Synchronization

/// Where the tests find what they use.
struct TestEnvironment: Sendable {
  /// The program under test.
  let crosvm: String
  /// The folder with kernels and images that tools/guest made.
  let guestFolder: String
  /// A folder for the tests' own files.
  let scratch: String
  /// Options that each machine is run with: none for the sandbox, or --disable-sandbox.
  let runOptions: [String]
  /// The folder of golden files.
  let golden: String
  /// Whether some tests move and count more, which takes minutes.
  let isThorough: Bool

  func file(_ name: String) -> String { "\(guestFolder)/\(name)" }
  func scratchFile(_ name: String) -> String { "\(scratch)/\(name).\(Child.unique())" }
}

/// A test: a sentence, and what shows it.
struct GuestTest: Sendable {
  let name: String
  let body: @Sendable (TestEnvironment) throws -> Void

  init(_ name: String, _ body: @escaping @Sendable (TestEnvironment) throws -> Void) {
    self.name = name
    self.body = body
  }
}

/// What a test expected and did not find.
struct Disappointment: Error, CustomStringConvertible {
  let description: String
}

/// Fails the test unless `condition` holds; the run's words are part of the message.
func expect(_ condition: Bool, _ what: String, in run: GuestRun? = nil) throws {
  guard !condition else { return }
  var text = "expected " + what
  if let run {
    text += "\n  command: \(run.command.joined(separator: " "))\n  status: \(run.status.map(String.init) ?? "none, it ran out of time")"
    text += "\n  standard error:\n\(indented(run.errors, lines: 20))\n  end of the console:\n\(indented(run.output, lines: 40))"
  }
  throw Disappointment(description: text)
}

private func indented(_ text: String, lines: Int) -> String {
  text.split(whereSeparator: \.isNewline).suffix(lines).map { "    \($0)" }.joined(separator: "\n")
}

/// Runs tests, some at a time, and says how each went.
enum TestRunner {
  private struct Progress {
    var next = 0
    var passed = 0
    var failed: [String] = []
  }

  /// Returns whether all passed.
  ///
  /// - Parameters:
  ///   - claims: A folder that several of these programs share, empty at first, so that each test is run by one of them. A test's file in it
  ///     is empty until the test has ended.
  ///   - report: What is to be said after each test.
  static func run(
    _ tests: [GuestTest], in environment: TestEnvironment, workers: Int, claims: String? = nil, report: @Sendable @escaping () -> [String]
  ) -> Bool {
    let progress = Mutex(Progress())
    let work: @Sendable () -> Void = {
      while true {
        let index = progress.withLock { progress -> Int in
          defer { progress.next += 1 }
          return progress.next
        }
        guard index < tests.count else { return }
        guard claims.map({ claim(index, in: $0) }) ?? true else { continue }
        let test = tests[index]
        let start = Child.now()
        var failure: String?
        do { try test.body(environment) } catch { failure = "\(error)" }
        let duration = Int((Child.now() - start).rounded())
        progress.withLock { progress in
          if let failure {
            progress.failed.append(test.name)
            print("FAIL \(test.name) (\(duration) s)\n\(failure)")
          } else {
            progress.passed += 1
            print("ok   \(test.name) (\(duration) s)")
          }
          for line in report() { print(line) }
          _ = fflush(nil)
        }
        if let claims { try? Child.write("over\n", to: "\(claims)/\(index)") }
      }
    }
    Workers.run(count: workers, work)
    return progress.withLock { progress in
      for name in progress.failed { print("failed: \(name)") }
      print("\(progress.passed) passed, \(progress.failed.count) failed")
      return progress.failed.isEmpty
    }
  }

  /// Whether nobody else runs the test with this number.
  private static func claim(_ index: Int, in folder: String) -> Bool {
    let file = unsafe open("\(folder)/\(index)", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    if file >= 0 { close(file) }
    return file >= 0
  }
}
