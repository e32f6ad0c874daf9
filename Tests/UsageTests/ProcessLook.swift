import Glibc

/// What /proc tells of a process or a thread (proc(5)).
struct ProcessLook {
  let identifier: pid_t
  private let path: String

  init(_ identifier: pid_t) {
    self.identifier = identifier
    path = "/proc/\(identifier)"
  }

  private init(_ identifier: pid_t, thread: pid_t) {
    self.identifier = thread
    path = "/proc/\(identifier)/task/\(thread)"
  }

  /// All processes.
  static var all: [ProcessLook] { names(in: "/proc").compactMap { pid_t($0) }.map { ProcessLook($0) } }

  /// The processes of a session.
  static func session(_ session: pid_t) -> [ProcessLook] {
    all.filter { process in
      let fields = process.fields
      return fields.count > 3 && fields[3] == "\(session)" && fields[0] != "Z"
    }
  }

  /// What follows the name in parentheses: state, parent, group, session and so on.
  private var fields: [Substring] { read("stat").split(separator: ")").last?.split(separator: " ") ?? [] }

  /// What it does: R runs, S sleeps, T is stopped; empty when it has gone.
  var state: String { fields.first.map(String.init) ?? "" }

  /// Whether its group is the one in the foreground of its terminal.
  var isInForeground: Bool { fields.count > 5 && fields[2] == fields[5] }

  /// Its threads.
  var threads: [ProcessLook] { entries("task").compactMap { pid_t($0) }.map { ProcessLook(identifier, thread: $0) } }

  /// Its name; the kernel keeps 15 bytes.
  var name: String { String(read("comm").dropLast()) }

  /// A field of its status.
  func status(_ field: String) -> String? {
    read("status").split(separator: "\n").first { $0.hasPrefix(field + ":") }.map { String($0.dropFirst(field.count + 2)) }
  }

  /// The hard limit of that name, without its unit.
  func limit(_ name: String) -> String? {
    let line = read("limits").split(separator: "\n").first { $0.hasPrefix(name) }
    return line?.dropFirst(26).split(separator: " ").first.map { String($0) }
  }

  /// The words that it was started with.
  var words: [String] { read("cmdline").split(separator: "\0").map(String.init) }

  /// What it was started with in its environment.
  var environment: String { read("environ") }

  /// Whether its one file system can only be read.
  var hasReadOnlyRoot: Bool {
    let mounts = read("mounts").split(separator: "\n")
    return mounts.count == 1 && mounts[0].split(separator: " ")[3].split(separator: ",").contains("ro")
  }

  /// What a symbolic link below its directory leads to.
  func link(_ name: String) -> String {
    var target = [CChar](repeating: 0, count: 4096)
    let length = unsafe readlink("\(path)/\(name)", &target, target.count)
    return String(decoding: target.prefix(max(0, length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// The names in a directory below its own.
  func entries(_ name: String) -> [String] { ProcessLook.names(in: "\(path)/\(name)/") }

  private static func names(in path: String) -> [String] { Workplace.names(in: path) ?? ["(\(path) cannot be read)"] }

  private func read(_ name: String) -> String {
    let file = unsafe open("\(path)/\(name)", O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return "" }
    defer { close(file) }
    return String(decoding: contents(file), as: UTF8.self)
  }
}
