import Glibc

/// What a run of crosvm left behind.
struct GuestRun {
  let command: [String]
  /// The exit status, 128 plus the number of the signal that ended it, or `nil` when it was still running after its time.
  let status: Int32?
  /// What came on standard output: the guest's console.
  let output: String
  /// What came on standard error: crosvm's own words.
  let errors: String

  /// The status of the guest's script, from the line `GUEST-EXIT n`.
  var scriptStatus: Int? {
    lines.last { $0.hasPrefix("GUEST-EXIT ") }.flatMap { Int($0.dropFirst("GUEST-EXIT ".count)) }
  }

  /// The console's lines, without carriage returns.
  var lines: [Substring] { output.split(whereSeparator: \.isNewline) }

  /// The value of the line `NAME=value` that a script printed.
  func value(_ name: String) -> String? {
    lines.last { $0.hasPrefix(name + "=") }.map { String($0.dropFirst(name.count + 1)) }
  }
}

/// A guest to boot: the machine's options, and what the guest does.
struct Guest {
  enum Kernel {
    case bzImage
    case elf
    /// A file of the test's own.
    case other(String)

    func path(_ environment: TestEnvironment) -> String {
      switch self {
      case .bzImage: environment.file("vmlinuz")
      case .elf: environment.file("vmlinux")
      case .other(let path): path
      }
    }
  }

  var kernel = Kernel.bzImage
  /// Whether to hand the initramfs over; it holds the virtio modules, which stock kernels do not have built in.
  var initramfs = true
  /// Options of `crosvm run`.
  var options: [String] = []
  /// A command that starts crosvm, for one under other circumstances.
  var launcher: [String] = []
  /// Options before the subcommand.
  var globalOptions: [String] = []
  /// Words for the kernel's command line.
  var parameters: [String] = []
  /// A shell script for the guest; without one the guest reads its console.
  var script: String?
  /// What the guest reads on its console.
  var input = ""
  /// How many seconds it may take.
  var seconds = 400

  /// How long a guest may be silent at first, in seconds: many times what the slowest needs.
  private static let patience = 150

  /// Boots the guest and waits for its end.
  ///
  /// The emulated host lost a guest now and then before its kernel had said a word, QEMU's guests too: at most one boot in fifty, until it got
  /// an interrupt some times a second (tools/lab says why). A boot that is silent all the same is tried once more, and the run says so; a guest
  /// that is lost twice fails its test.
  func run(_ environment: TestEnvironment) throws -> GuestRun {
    let guest = try start(environment)
    let isSilent = !guest.waitForFirstWord(seconds: min(seconds, Self.patience))
    let run = guest.end(isSilent ? SIGKILL : nil, seconds: seconds)
    guard run.output.isEmpty, isSilent || run.errors.contains("triple fault") else { return try ended(run) }
    print("note: a guest was lost before its first word (\(isSilent ? "it hung" : "a triple fault")), and is started again")
    return try ended(try start(environment).end(nil, seconds: seconds))
  }

  /// A guest that had to be stopped has not done what it should, whatever it said.
  private func ended(_ run: GuestRun) throws -> GuestRun {
    try expect(run.status != nil, "the guest ends within \(seconds) seconds", in: run)
    return run
  }

  /// Boots the guest.
  func start(_ environment: TestEnvironment) throws -> RunningGuest {
    var words = parameters
    if let script { words.append("guest.exec=" + base64(Array(script.utf8))) }
    var command = launcher + [environment.crosvm] + globalOptions + ["run"] + environment.runOptions + options
    if initramfs { command += ["-i", environment.file("initramfs.img")] }
    // No serial noise: what the tests look for must not drown, and each byte costs an exit.
    command += ["-p", (["quiet"] + words).joined(separator: " ")]
    command.append(kernel.path(environment))
    return try RunningGuest(command, input: input, environment)
  }
}

/// A guest under way.
struct RunningGuest {
  private let command: [String]
  let process: pid_t
  private let streams: [String]

  init(_ command: [String], input: String, _ environment: TestEnvironment) throws {
    self.command = command
    streams = ["in", "out", "err"].map { environment.scratchFile($0) }
    try Child.write(input, to: streams[0])
    process = try Child.start(command, streams: streams)
  }

  /// Whether the guest has printed anything, or crosvm has said something or ended, within some seconds.
  func waitForFirstWord(seconds: Int) -> Bool {
    let deadline = Child.now() + Double(seconds)
    while Child.read(streams[1]).isEmpty, Child.read(streams[2]).isEmpty, !Child.hasEnded(process) {
      if Child.now() > deadline { return false }
      usleep(100_000)
    }
    return true
  }

  /// Whether the guest has printed a text, within some seconds.
  func waitForOutput(_ text: String, seconds: Int) -> Bool {
    let deadline = Child.now() + Double(seconds)
    while !Child.read(streams[1]).contains(text) {
      // What it said last is looked at once more.
      if Child.now() > deadline || Child.hasEnded(process) { return Child.read(streams[1]).contains(text) }
      usleep(100_000)
    }
    return true
  }

  /// A field of /proc/PID/task/TID/status of the thread with that name; nil where there is none.
  func statusOfThread(_ name: String, field: String) -> String? {
    for thread in Child.entries(of: "/proc/\(process)/task") {
      let lines = Child.read("/proc/\(process)/task/\(thread)/status").split(separator: "\n")
      guard lines.contains("Name:\t\(name)") else { continue }
      return lines.first { $0.hasPrefix(field + ":") }.map { String($0.dropFirst(field.count + 2)) }
    }
    return nil
  }

  /// Sends a signal, if one is given, and waits for the end.
  func end(_ signal: Int32?, seconds: Int = 20) -> GuestRun {
    if let signal { kill(process, signal) }
    let status = Child.wait(for: process, seconds: seconds)
    defer { for path in streams { unsafe _ = unlink(path) } }
    return GuestRun(command: command, status: status, output: Child.read(streams[1]), errors: Child.read(streams[2]))
  }
}

/// Encodes bytes as RFC 4648 does.
func base64(_ bytes: [UInt8]) -> String {
  let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
  var text = ""
  for start in stride(from: 0, to: bytes.count, by: 3) {
    let group = bytes[start..<min(start + 3, bytes.count)]
    let value = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
    for index in 0..<4 {
      text.append(index <= group.count ? alphabet[value >> (18 - 6 * index) & 63] : "=")
    }
  }
  return text
}
