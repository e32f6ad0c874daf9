import Glibc

/// Runs programs and gathers what they say.
enum Child {
  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  /// Runs a command to its end, or ends it after some seconds.
  static func run(_ command: [String], input: String, seconds: Int, directory: String) throws -> GuestRun {
    let paths = ["in", "out", "err"].map { "\(directory)/\($0).\(unique())" }
    defer { for path in paths { unsafe _ = unlink(path) } }
    try write(input, to: paths[0])
    let process = try start(command, streams: paths)
    let status = wait(for: process, seconds: seconds)
    return GuestRun(command: command, status: status, output: read(paths[1]), errors: read(paths[2]))
  }

  /// Starts a command with files as its standard streams.
  static func start(_ command: [String], streams: [String]) throws -> pid_t {
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    for (number, path) in streams.enumerated() {
      let flags = number == 0 ? O_RDONLY : O_WRONLY | O_CREAT | O_TRUNC
      unsafe posix_spawn_file_actions_addopen(&actions, Int32(number), path, flags, 0o600)
    }
    var arguments: [UnsafeMutablePointer<CChar>?] = unsafe command.map { unsafe strdup($0) } + [nil]
    defer { unsafe arguments.forEach { unsafe free($0) } }
    var process = pid_t()
    let code = unsafe posix_spawnp(&process, command[0], &actions, nil, &arguments, environ)
    guard code == 0 else { throw Failure(description: "cannot start \(command[0]): \(unsafe String(cString: strerror(code)))") }
    return process
  }

  /// Waits for a process; ends it with SIGKILL and returns `nil` when it takes longer than `seconds`.
  static func wait(for process: pid_t, seconds: Int) -> Int32? {
    let deadline = now() + Double(seconds)
    while true {
      var status: Int32 = 0
      let ended = unsafe waitpid(process, &status, WNOHANG)
      if ended == process { return status & 0x7f == 0 ? status >> 8 & 0xff : 128 + (status & 0x7f) }
      if now() > deadline {
        kill(process, SIGKILL)
        unsafe waitpid(process, &status, 0)
        return nil
      }
      usleep(20_000)
    }
  }

  /// Whether a process has ended; `wait` still tells how.
  static func hasEnded(_ process: pid_t) -> Bool {
    var information = unsafe siginfo_t()
    return unsafe waitid(P_PID, id_t(process), &information, WEXITED | WNOHANG | WNOWAIT) == 0 && information.si_signo != 0
  }

  static func now() -> Double {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  /// A file's text; empty where it cannot be read.
  static func read(_ path: String) -> String { String(decoding: (try? readBytes(path)) ?? [], as: UTF8.self) }

  static func readBytes(_ path: String) throws -> [UInt8] {
    guard let file = unsafe fopen(path, "r") else { throw Failure(description: "cannot read \(path)") }
    defer { unsafe fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = unsafe fread(&chunk, 1, chunk.count, file)
      guard count > 0 else { break }
      bytes += chunk.prefix(count)
    }
    return bytes
  }

  /// The names in a folder.
  static func entries(of path: String) -> [String] {
    guard let folder = unsafe opendir(path) else { return [] }
    defer { unsafe closedir(folder) }
    var names: [String] = []
    while let entry = unsafe readdir(folder) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
        unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if !name.hasPrefix(".") { names.append(name) }
    }
    return names
  }

  static func write(_ text: String, to path: String) throws { try write(Array(text.utf8), to: path) }

  static func append(_ text: String, to path: String) throws { try write(Array(text.utf8), to: path, mode: "a") }

  static func write(_ bytes: [UInt8], to path: String, mode: String = "w") throws {
    guard let file = unsafe fopen(path, mode) else { throw Failure(description: "cannot write \(path)") }
    defer { unsafe fclose(file) }
    guard unsafe fwrite(bytes, 1, bytes.count, file) == bytes.count else { throw Failure(description: "cannot write \(path)") }
  }

  /// Makes a file of zeros without taking room for them.
  static func makeDisk(_ path: String, bytes: Int) throws {
    let file = unsafe open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
    guard file >= 0, ftruncate(file, bytes) == 0 else { throw Failure(description: "cannot make \(path)") }
    close(file)
  }

  static func unique() -> String { "\(getpid()).\(UInt64.random(in: 0..<UInt64.max))" }
}
