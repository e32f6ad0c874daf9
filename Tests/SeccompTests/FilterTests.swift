import Testing

@testable import Seccomp

@Suite struct FilterTests {
  private static let values: [UInt64] = [
    0, 1, 2, 3, 4, 5, 7, 8, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0001, 0x1_0000_0003, 0x5_0000_0003,
    0x5_0000_0004, 0x7fff_ffff_ffff_ffff, 0x8000_0000_0000_0000, 0xffff_ffff_0000_0000, 0xffff_ffff_0000_0003, .max - 1, .max,
  ]

  @Test("an operator compares all 64 bits", arguments: Comparison.Operator.allCases)
  func anOperatorComparesAllBits(relation: Comparison.Operator) throws {
    for value in FilterTests.values {
      let comparison = Comparison(argument: 2, relation: relation, value: value, line: 1)
      guard comparison.constant == nil else { continue }
      let filter = try Filter("read: arg2 \(relation.rawValue) \(value)")
      for argument in FilterTests.values {
        let decision = try filter.decision("read", 0, 0, argument)
        #expect(decision == (comparison.holds(for: argument) ? .allow : .trap), "\(argument) \(relation.rawValue) \(value)")
      }
    }
  }

  @Test func randomPoliciesDecideAsTheyRead() throws {
    var random = SeededGenerator(seed: 1)
    for _ in 0..<600 {
      var text = ""
      for call in ["read", "write", "close", "ioctl", "mmap", "openat", "fcntl", "getpid", "futex", "clone"].shuffled(using: &random)
        .prefix(Int.random(in: 1...6, using: &random))
      {
        text += "\(call): \(FilterTests.randomVerdict(using: &random))\n"
      }
      let policy = try SeccompPolicy(text)
      let filter = PacketFilter(try policy.compile(onViolation: .killProcess).bytes)
      for rule in policy.rules {
        for _ in 0..<30 {
          let arguments = (0..<6).map { _ in FilterTests.values.randomElement(using: &random) ?? 0 }
          let call = CallData(number: rule.number, architecture: Architecture.native.token, arguments: arguments)
          let decision = try filter.decision(on: call).decision
          let expected = policy.expected(call, onViolation: .killProcess)
          #expect(decision == expected, "\(rule.call)(\(arguments)) under\n\(text)")
          if decision != expected { return }
        }
      }
    }
  }

  private static func randomVerdict(using random: inout SeededGenerator) -> String {
    switch Int.random(in: 0..<8, using: &random) {
    case 0: return "allow"
    case 1: return "return ENOENT"
    case 2: return "kill"
    default: break
    }
    let alternatives = (0..<Int.random(in: 1...4, using: &random)).map { _ in
      (0..<6).shuffled(using: &random).prefix(Int.random(in: 1...3, using: &random)).map { argument in
        while true {
          let relation = Comparison.Operator.allCases.randomElement(using: &random) ?? .equal
          var value = values.randomElement(using: &random) ?? 0
          if relation == .anyBit { value = [1, 3, 5, 0x1_0000_0001].randomElement(using: &random) ?? 1 }
          let comparison = Comparison(argument: UInt32(argument), relation: relation, value: value, line: 1)
          if comparison.constant == nil { return "arg\(argument) \(relation.rawValue) \(value)" }
        }
      }.joined(separator: " && ")
    }
    return alternatives.joined(separator: " || ") + (Bool.random(using: &random) ? "; return EPERM" : "")
  }
}
