public import Platform

/// What is wrong with a seccomp policy or with what was made of it.
public enum PolicyError: Error, Equatable, Sendable, CustomStringConvertible {
  /// A line of a policy is wrong; lines count from 1.
  case mistake(file: String, line: Int, problem: String)
  /// No policy of that name is built in.
  case notBuiltIn(name: String)
  /// A policy's file cannot be read.
  case unreadable(SystemError)
  /// The policy needs more instructions than the kernel takes.
  case tooLarge(instructions: Int)
  /// Bytes that are no filter program.
  case notAProgram(count: Int)
  /// libseccomp, or a system call that it needs, failed.
  case compiler(SystemError)

  /// What is wrong, where, and the remedy.
  public var description: String {
    switch self {
    case .mistake(let file, let line, let problem): "\(file):\(line): \(problem)"
    case .notBuiltIn(let name): "there is no built-in seccomp policy '\(name)'; give a directory that has \(name).policy"
    case .unreadable(let error): "\(error); give a directory that has main.policy, vcpu.policy and one for each kind of device"
    case .tooLarge(let instructions):
      "the seccomp policy becomes \(instructions) instructions, and the kernel takes \(SeccompProgram.longest); "
        + "compare fewer arguments, or with fewer values"
    case .notAProgram(let count):
      "\(count) bytes are no seccomp program: it has 1 to \(SeccompProgram.longest) instructions of \(SeccompProgram.instructionSize) bytes"
    case .compiler(let error): "\(error)"
    }
  }
}
