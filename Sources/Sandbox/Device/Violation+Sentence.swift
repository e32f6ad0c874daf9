internal import Seccomp

extension Violation {
  /// What happened, in one sentence, with what to do.
  ///
  /// - Parameters:
  ///   - subject: Who did it.
  ///   - policies: The policy files that would have to allow it: `block.policy`.
  package func sentence(of subject: String, policies: String) -> String {
    let given = arguments.map { "0x" + String($0, radix: 16) }.joined(separator: ", ")
    let name = SeccompNames.name(ofCall: call)
    return "\(subject) made a system call that its policy forbids: \(name)(\(given)); it was stopped. If this call is right, allow it in"
      + " \(policies) (--seccomp-policy-dir), and report it; --seccomp-log-failures only logs such calls"
  }
}
