internal import Platform

/// Which system calls a process or thread may make, as a text in minijail's policy syntax says (minijail0(5)).
///
/// A line is `NAME: VERDICT` or `{NAME, NAME}: VERDICT`. The verdict is `1` or `allow`; `kill` or `kill-process`; `return ERROR`; or
/// comparisons of arguments, such as `arg0 == F_GETFL || arg1 in PROT_READ|PROT_WRITE && arg2 & 1`, perhaps with `; return ERROR` for the
/// calls that they do not allow. `&` asks for any bit of the value, `in` for no bit outside it; all 64 bits of an argument are compared,
/// unsigned. `@include FILE` reads another file of the same directory, and `@default kill-process`, `trap` or `log` says what becomes of
/// all other calls. `#` begins a comment; a `\` at a line's end joins it with the next.
///
/// Reading and compiling take memory and system calls: do both before a filter is installed.
public struct SeccompPolicy: Sendable {
  /// What becomes of a call that the policy does not allow.
  public enum Violation: String, Sendable, CaseIterable {
    /// The thread gets SIGSYS, which tells the call's number (SECCOMP_RET_TRAP).
    case trap
    /// The process ends with SIGSYS, without a last word (SECCOMP_RET_KILL_PROCESS).
    case killProcess = "kill-process"
    /// The call is made, and the kernel's log has a line about it (SECCOMP_RET_LOG): for writing a policy, not for use.
    case log
  }

  /// In the order of the text, one for a call.
  private(set) var rules: [PolicyRule]
  /// What `@default` says.
  private(set) var violation: Violation?
  let architecture: Architecture

  /// The policy `name` for this architecture: `NAME.policy` in `directory`, or the built-in one where no directory is given.
  ///
  /// - Throws: `PolicyError`, also where the directory has no such file: a directory replaces all policies.
  public static func load(_ name: String, directory: String?) throws(PolicyError) -> SeccompPolicy {
    let file = "\(name).policy"
    guard let directory else {
      guard let text = builtIn(file) else { throw .notBuiltIn(name: name) }
      return try SeccompPolicy(text: text, file: file, include: builtIn)
    }
    let path = "\(directory)/\(file)"
    let text: String
    do { text = try PolicyFile.read(path) } catch { throw .unreadable(error) }
    return try SeccompPolicy(text: text, file: path) { try? PolicyFile.read($0) }
  }

  /// Reads a policy.
  ///
  /// - Parameters:
  ///   - text: Any text.
  ///   - file: What messages call it; included files are looked for in its directory.
  ///   - include: The text of a file, whose path begins with the directory of `file`; `nil` where there is none.
  /// - Throws: `PolicyError.mistake` for the first mistake.
  public init(text: String, file: String, include: (String) -> String?) throws(PolicyError) {
    try self.init(text: text, file: file, architecture: .native, include: include)
  }

  init(text: String, file: String, architecture: Architecture, include: (String) -> String?) throws(PolicyError) {
    var reader = PolicyReader(architecture: architecture)
    try reader.read(text, file: file, include: include)
    rules = reader.rules
    violation = reader.violation
    self.architecture = architecture
  }

  /// The names of the system calls that it allows, if only with certain arguments, in the order of the text.
  public var allowedCalls: [String] {
    rules.compactMap {
      switch $0.verdict {
      case .allow, .allowIf: $0.call
      case .kill, .fail: nil
      }
    }
  }

  /// The same policy without a word about the system call: a test of whether it is needed.
  public func removing(_ call: String) -> SeccompPolicy {
    var copy = self
    copy.rules.removeAll { $0.call == call }
    return copy
  }

  private static func builtIn(_ file: String) -> String? { EmbeddedPolicies.files[file] }
}
