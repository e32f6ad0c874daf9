import Glibc
import Testing

/// Policies that a user gives, and what comes of those that are wrong or too tight.
@Suite(.enabled(if: Crosvm.hasKVM && Crosvm.hasNamespaces, "needs a usable /dev/kvm and namespaces"))
struct PolicyTests {
  let workplace = Workplace()

  init() {
    workplace.write("resets", Firmware.resets)
    workplace.write("looks", Firmware.looksAtADevice)
    workplace.writePolicies()
  }

  /// Takes a line out of a policy.
  private func remove(_ line: String, from name: String) throws {
    try workplace.writePolicy(name, replacing: "\n\(line)\n", by: "\n")
  }

  private func run(_ options: String...) throws -> Ending {
    try Crosvm.run(["run", "--seccomp-policy-dir", "."] + options + ["--bios", "resets"], in: workplace)
  }

  @Test func policiesOfADirectoryAreUsed() throws {
    let ending = try run()
    #expect(ending.status == 0 && ending.output == "A" && ending.errors.isEmpty, "\(ending)")
  }

  @Test(arguments: [
    ("read 1", "rng.policy:3: "), ("red: 1", "'red'"), ("read: arg7 == 1", "arg7"), ("read: arg0 == NOTHING", "NOTHING"),
    ("read: return EVIL", "EVIL"), ("@include ../rng.policy", "../rng.policy"), ("read: arg0 = 1", "rng.policy:3: "),
  ])
  func aMistakeIsNamedWithItsLine(line: String, part: String) throws {
    workplace.write("rng.policy", Array("# one\n\n\(line)\n".utf8))
    let ending = try run()
    #expect(ending.status != 0 && ending.output.isEmpty && !ending.leavesProcesses)
    #expect(
      ending.errors.contains("rng.policy:3: ") && ending.errors.contains(part) && ending.errors.count { $0 == "\n" } == 1, "\(ending)")
  }

  @Test func aMissingPolicyIsNamed() throws {
    unsafe _ = unlink("\(workplace.path)/vcpu.policy")
    let ending = try run()
    #expect(ending.status != 0 && ending.errors.contains("vcpu.policy") && ending.errors.count { $0 == "\n" } == 1, "\(ending)")
  }

  @Test func aDeviceThatNeedsMoreSaysWhat() throws {
    try remove("epoll_create1: 1", from: "common_device")
    let ending = try run()
    #expect(ending.status == 1 && ending.output.isEmpty && !ending.leavesProcesses)
    let said = "device rng: it made a system call that its policy forbids: epoll_create1(0x80000, "
    #expect(ending.errors.contains(said) && ending.errors.contains("rng.policy (--seccomp-policy-dir)"), "\(ending)")
  }

  @Test func aProcessorThatNeedsMoreSaysWhat() throws {
    try remove("sendmsg: 1", from: "vcpu")
    let ending = try Crosvm.run(["run", "--seccomp-policy-dir", ".", "--bios", "looks"], in: workplace)
    #expect(ending.status == 128 + SIGSYS && !ending.leavesProcesses, "\(ending)")
    #expect(ending.errors.contains("the VMM made a system call that its policy forbids: sendmsg("), "\(ending)")
  }

  @Test func theMachineThatNeedsMoreSaysWhat() throws {
    try remove("accept4: arg3 == SOCK_CLOEXEC", from: "main")
    let machine = try Crosvm(["run", "--seccomp-policy-dir", ".", "-s", "socket", "--bios", "looks"], in: workplace)
    #expect(Crosvm.wait { workplace.names.contains("socket") })
    #expect(try Crosvm.run(["version", "socket"], in: workplace).status == 1)
    let ending = machine.end()
    #expect(ending.status == 128 + SIGSYS && !ending.leavesProcesses && !workplace.names.contains("socket"), "\(ending)")
    #expect(ending.errors.contains("the VMM made a system call that its policy forbids: accept4("), "\(ending)")
  }

  @Test func forbiddenCallsCanBeLoggedOnly() throws {
    try remove("epoll_create1: 1", from: "common_device")
    let ending = try run("--seccomp-log-failures")
    #expect(ending.status == 0 && ending.output == "A" && ending.errors.isEmpty, "\(ending)")
  }

  @Test(arguments: ["--seccomp-policy-dir=.", "--seccomp-log-failures"])
  func policiesWithoutASandboxAreAContradiction(option: String) throws {
    try Mistake("run", "--disable-sandbox", option, "--bios", "resets", says: "--disable-sandbox").expect(status: 2, in: workplace)
  }

  /// Lines that cannot be written hold nothing up.
  @Test func aFullLogIsNoReasonToHang() throws {
    try remove("epoll_create1: 1", from: "common_device")
    let full = "exec \"$@\" 2>/dev/full"
    let ending = try Crosvm.run(
      ["run", "--seccomp-policy-dir", ".", "--bios", "resets"], in: workplace, launcher: ["sh", "-c", full, "sh"])
    #expect(ending.status == 1 && ending.errors.isEmpty && !ending.leavesProcesses)
  }
}
