import Glibc
import Testing

/// How a command ended, and what it said.
struct Ending: Sendable {
  /// The exit status; 128 + N after signal N, `nil` when it did not end by itself.
  let status: Int32?
  let output: String
  let errors: String
  /// Whether processes of it were left.
  let leavesProcesses: Bool
}

/// The executable that is built with the tests, running.
final class Crosvm {
  /// The command.
  static let executable = sibling("crosvm")

  /// An executable beside the test bundle.
  static func sibling(_ name: String) -> String {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = unsafe readlink("/proc/self/exe", &buffer, buffer.count)
    let path = String(decoding: buffer.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/") + "/" + name
  }

  /// Whether the tests that need a virtual machine can run.
  static let hasKVM = unsafe access("/dev/kvm", R_OK | W_OK) == 0

  /// For a command that hangs; no test waits for it otherwise.
  private static let patienceInMilliseconds = 60_000

  struct CannotStart: Error {
    let code: Int32
  }

  private let process: pid_t
  private let output: Int32
  private let errors: Int32

  /// Starts the command in a session of its own.
  ///
  /// - Parameters:
  ///   - arguments: What follows its name.
  ///   - workplace: Where it runs.
  ///   - launcher: A command that starts it, for one under other circumstances.
  ///   - closed: The standard streams that it finds closed.
  ///   - terminal: The terminal that is all its standard streams; else it reads an empty file and writes to files.
  ///   - program: What is started.
  init(
    _ arguments: [String], in workplace: Workplace, launcher: [String] = [], closed: [Int32] = [], terminal: String? = nil,
    program: String = executable
  ) throws {
    output = Crosvm.unnamedFile()
    errors = Crosvm.unnamedFile()
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_addopen(&actions, 0, terminal ?? "/dev/null", terminal == nil ? O_RDONLY : O_RDWR, 0)
    unsafe posix_spawn_file_actions_adddup2(&actions, terminal == nil ? output : 0, 1)
    unsafe posix_spawn_file_actions_adddup2(&actions, terminal == nil ? errors : 0, 2)
    for stream in closed { unsafe posix_spawn_file_actions_addclose(&actions, stream) }
    unsafe Crosvm.closeOthers(&actions)

    // Threads of the test runner block signals, and a program inherits that.
    var attributes = posix_spawnattr_t()
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    unsafe sigemptyset(&signals)
    unsafe posix_spawnattr_setsigmask(&attributes, &signals)
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGPIPE] { unsafe sigaddset(&signals, signal) }
    unsafe posix_spawnattr_setsigdefault(&attributes, &signals)
    // POSIX_SPAWN_SETSID is one of the GNU library's own names, which Swift does not see.
    let newSession: Int32 = 0x80
    unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | newSession))

    let words = ["env", "-C", workplace.path] + launcher + [program] + arguments
    var pointers: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) } + [nil]
    defer { unsafe pointers.forEach { unsafe free($0) } }
    var process = pid_t()
    let code = unsafe posix_spawnp(&process, words[0], &actions, &attributes, &pointers, environ)
    self.process = process
    guard code == 0 else { throw CannotStart(code: code) }
  }

  deinit {
    close(output)
    close(errors)
  }

  /// Lets a program have its standard streams only. Other tests of this process, in other threads, may have descriptors open that a new program
  /// gets: one that may have few would have fewer by chance.
  private static func closeOthers(_ actions: inout posix_spawn_file_actions_t) {
    typealias CloseFrom = @convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32
    // One of the GNU library's own names, too (since 2.34).
    guard let symbol = unsafe dlsym(nil, "posix_spawn_file_actions_addclosefrom_np") else { return }
    unsafe _ = unsafeBitCast(symbol, to: CloseFrom.self)(&actions, 3)
  }

  private static func unnamedFile() -> Int32 {
    let path = "/tmp/crosvm-stream-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
    let file = unsafe open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    unsafe unlink(path)
    return file
  }

  /// Waits until it has written this to its standard output.
  func waitForOutput(_ text: String) -> Bool {
    Crosvm.wait { String(decoding: contents(output), as: UTF8.self).contains(text) }
  }

  func send(_ signal: Int32) { kill(process, signal) }

  /// Sends it a signal, and all of its job, as a shell or timeout(1) does.
  func sendToJob(_ signal: Int32) { kill(-process, signal) }

  /// The process that was started.
  var look: ProcessLook { ProcessLook(process) }

  /// All that belong to it.
  var processes: [ProcessLook] { ProcessLook.session(process) }

  /// Waits for its end.
  func end() -> Ending {
    var status: Int32 = 0
    let ended = Crosvm.wait { unsafe waitpid(process, &status, WNOHANG) == process }
    if !ended {
      kill(-process, SIGKILL)
      unsafe waitpid(process, &status, 0)
    }
    let code = status & 0x7f == 0 ? status >> 8 & 0xff : 128 + (status & 0x7f)
    return Ending(
      status: ended ? code : nil, output: String(decoding: contents(output), as: UTF8.self),
      errors: String(decoding: contents(errors), as: UTF8.self),
      leavesProcesses: !Crosvm.wait(milliseconds: 5000) { kill(-process, 0) != 0 })
  }

  /// Asks until the answer is yes; false after a time that is only there for what hangs.
  static func wait(milliseconds: Int = patienceInMilliseconds, until condition: () -> Bool) -> Bool {
    for _ in 0..<milliseconds {
      if condition() { return true }
      usleep(1000)
    }
    return false
  }

  /// Runs the command to its end.
  static func run(
    _ arguments: [String], in workplace: Workplace, launcher: [String] = [], closed: [Int32] = []
  ) throws -> Ending {
    try Crosvm(arguments, in: workplace, launcher: launcher, closed: closed).end()
  }
}

/// A command that cannot be done, and what its one line must contain: the value and the remedy.
struct Mistake: Sendable, CustomTestStringConvertible {
  let words: [String]
  let parts: [String]

  init(words: [String], parts: [String]) {
    self.words = words
    self.parts = parts
  }

  init(_ words: String..., says parts: String...) {
    self.init(words: words, parts: parts)
  }

  var testDescription: String { (["crosvm"] + words).joined(separator: " ") }

  /// Expects a status, one line on the standard error, and nothing else in the world.
  func expect(
    status: Int32, in workplace: Workplace, launcher: [String] = [], sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let before = workplace.names
    let ending = try Crosvm.run(words, in: workplace, launcher: launcher)
    #expect(ending.status == status, "\(ending)", sourceLocation: sourceLocation)
    #expect(ending.output.isEmpty, sourceLocation: sourceLocation)
    let isOneLine = ending.errors.hasSuffix("\n") && ending.errors.utf8.count { $0 == UInt8(ascii: "\n") } == 1
    #expect(isOneLine && ending.errors.hasPrefix("crosvm"), "\(ending.errors)", sourceLocation: sourceLocation)
    for part in parts { #expect(ending.errors.contains(part), sourceLocation: sourceLocation) }
    #expect(!ending.leavesProcesses && workplace.names == before, sourceLocation: sourceLocation)
  }
}
