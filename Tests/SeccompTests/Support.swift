import Testing

@testable import Seccomp

/// Random numbers that are the same in each run (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
    return value ^ value >> 31
  }
}

extension SeccompPolicy {
  /// A policy for tests, of which `files` are what it may include.
  init(_ text: String, file: String = "test.policy", on architecture: Architecture = .native, files: [String: String] = [:]) throws {
    try self.init(text: text, file: file, architecture: architecture) { files[$0] }
  }

  /// What the policy, read rule by rule, says about a call: the oracle for what was compiled from it.
  func expected(_ call: CallData, onViolation: Violation) -> Decision {
    let other: Decision =
      switch violation ?? onViolation {
      case .trap: .trap
      case .killProcess: .killProcess
      case .log: .log
      }
    guard let rule = rules.first(where: { $0.number == call.number }) else { return other }
    switch rule.verdict {
    case .allow: return .allow
    case .kill: return .killProcess
    case .fail(let code): return .fail(code)
    case .allowIf(let alternatives, let code):
      let holds = alternatives.contains { $0.allSatisfy { $0.holds(for: call.arguments[Int($0.argument)]) } }
      return holds ? .allow : code.map { .fail($0) } ?? other
    }
  }
}

/// What the filter that is made of a policy does to calls of `name`.
struct Filter {
  let policy: SeccompPolicy
  let filter: PacketFilter

  init(_ text: String, on architecture: Architecture = .native) throws {
    policy = try SeccompPolicy(text, on: architecture)
    filter = PacketFilter(try policy.compile(onViolation: .trap).bytes)
  }

  func decision(_ name: String, _ arguments: UInt64...) throws -> Decision {
    let number = try #require(policy.architecture.number(ofCall: name))
    return try filter.decision(on: CallData(number: number, architecture: policy.architecture.token, arguments: arguments)).decision
  }
}

/// The message of the mistake in a policy.
func mistake(in text: String, file: String = "test.policy", files: [String: String] = [:]) -> String? {
  do {
    _ = try SeccompPolicy(text, file: file, files: files).compile(onViolation: .trap)
    return nil
  } catch { return "\(error)" }
}
