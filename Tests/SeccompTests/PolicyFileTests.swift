import CLinux
import Glibc
import Testing

@testable import Seccomp

@Suite struct PolicyFileTests {
  static let names = [
    "balloon", "block", "common", "common_device", "connector", "console", "main", "net", "pmem", "rng", "user_net", "vcpu", "vhost_net",
    "vhost_vsock", "vsock",
  ]

  /// The directory of an architecture's policies in the sources.
  static func directory(of architecture: Architecture) -> String {
    #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
      + "/seccomp/\(architecture.rawValue)"
  }

  @Test func theBuiltInPoliciesAreThoseOfTheDirectory() throws {
    #expect(EmbeddedPolicies.files.keys.sorted() == PolicyFileTests.names.map { "\($0).policy" })
    for (file, text) in EmbeddedPolicies.files {
      let source = try PolicyFile.read("\(PolicyFileTests.directory(of: .native))/\(file)")
      #expect(text == source, "\(file): run tools/embed-policies")
    }
  }

  @Test(arguments: Architecture.allCases, names)
  func everyPolicyDecidesAsItReads(architecture: Architecture, name: String) throws {
    let path = "\(PolicyFileTests.directory(of: architecture))/\(name).policy"
    let policy = try SeccompPolicy(text: PolicyFile.read(path), file: path, architecture: architecture) { try? PolicyFile.read($0) }
    let filter = PacketFilter(try policy.compile(onViolation: .trap).bytes)
    #expect(filter.instructions.count < 400)
    var values: [UInt64] = [0]
    for rule in policy.rules {
      guard case .allowIf(let alternatives, _) = rule.verdict else { continue }
      for comparison in alternatives.joined() {
        values += [comparison.value, comparison.value ^ 1, comparison.value ^ 4, comparison.value | 1 << 40]
      }
    }
    for number in Int32(0)..<600 {
      for value in policy.rules.contains(where: { $0.number == number }) ? values : [0] {
        let call = CallData(number: number, architecture: architecture.token, arguments: [UInt64](repeating: value, count: 6))
        let (decision, steps) = try filter.decision(on: call)
        let expected = policy.expected(call, onViolation: .trap)
        try #require(decision == expected, "\(number) \(value)")
        #expect(steps < 150)
      }
    }
  }

  @Test(arguments: names)
  func callsOfOtherArchitecturesEndTheProcess(name: String) throws {
    let filter = PacketFilter(try SeccompPolicy.load(name, directory: nil).compile(onViolation: .log).bytes)
    for number in Int32(0)..<600 {
      // i386, and x32, whose numbers have a bit of their own.
      for call in [
        CallData(number: number, architecture: 0x4000_0003),
        CallData(number: number | 0x4000_0000, architecture: Architecture.x86.token),
      ] { #expect(try filter.decision(on: call).decision == .killProcess) }
    }
  }

  @Test func noPolicyLetsMemoryBecomeExecutableOrProcessesStart() throws {
    for name in PolicyFileTests.names {
      let policy = try SeccompPolicy.load(name, directory: nil)
      let filter = PacketFilter(try policy.compile(onViolation: .killProcess).bytes)
      func decision(_ call: Int, _ arguments: [UInt64]) throws -> Decision {
        try filter.decision(on: CallData(number: Int32(call), architecture: Architecture.native.token, arguments: arguments)).decision
      }
      #expect(try decision(Int(SYS_mmap), [0, 4096, 7, 2, 0, 0]) == .killProcess)
      #expect(try decision(Int(SYS_mprotect), [0, 4096, 4]) == .killProcess)
      #expect(try decision(Int(SYS_clone), [17]) == .killProcess)
      for call in ["execve", "execveat", "ptrace", "bpf", "mount", "setns", "unshare", "process_vm_writev"] {
        #expect(!policy.allowedCalls.contains(call))
      }
    }
  }

  @Test func aDirectoryReplacesThePolicies() throws {
    let directory = PolicyFileTests.directory(of: .native)
    #expect(try SeccompPolicy.load("rng", directory: directory).allowedCalls == SeccompPolicy.load("rng", directory: nil).allowedCalls)
    let missing = #expect(throws: PolicyError.self) { try SeccompPolicy.load("nothing", directory: directory) }
    #expect(
      missing?.description.hasPrefix("open \(directory)/nothing.policy: No such file or directory; give a directory that has") == true)
    // Neither a directory nor a pipe, which would never open, is a policy.
    let pipe = "/tmp/policy-\(UInt64.random(in: 0...UInt64.max)).policy"
    #expect(unsafe mkfifo(pipe, 0o600) == 0)
    defer { unsafe _ = unlink(pipe) }
    for name in [String(pipe.dropFirst(5).dropLast(7)), "."] {
      #expect(throws: PolicyError.self) { try SeccompPolicy.load(name, directory: "/tmp") }
    }
    #expect(throws: PolicyError.notBuiltIn(name: "nothing")) { try SeccompPolicy.load("nothing", directory: nil) }
  }
}
