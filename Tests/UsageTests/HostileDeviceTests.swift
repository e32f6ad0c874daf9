import CLinux
import Testing

/// A device that tries to break out of its process.
@Suite(.enabled(if: Crosvm.hasNamespaces, "needs namespaces"))
struct HostileDeviceTests {
  let workplace = Workplace()

  /// The device's last words and those of the machine about it.
  private func attempt(_ attempt: String, policies: String) throws -> Ending {
    try Crosvm([attempt, policies], in: workplace, program: Crosvm.sibling("hostile-device")).end()
  }

  /// The policies in the source tree, for this architecture.
  static let policies: String = {
    let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
    #if arch(x86_64)
      return root + "/seccomp/x86_64"
    #else
      return root + "/seccomp/aarch64"
    #endif
  }()

  @Test(arguments: [
    ("read", "openat"), ("create", "openat"), ("socket", "socket"), ("execute", "execve"), ("fork", "clone"), ("trace", "ptrace"),
    ("signal", "kill"), ("peek", "process_vm_readv"), ("mount", "mount"), ("unshare", "unshare"), ("inject", "ioctl"), ("code", "mmap"),
    ("ring", "io_uring_setup"), ("silence", "rt_sigaction"), ("hush", "rt_sigaction"),
  ])
  func itsPolicyStopsItAndSaysWhatItTried(attempt name: String, call: String) throws {
    let ending = try attempt(name, policies: Self.policies)
    let said = "ended: device evil: it made a system call that its policy forbids: \(call)(0x"
    #expect(ending.status == 0 && ending.output.hasPrefix(said) && ending.output.contains("allow it in block.policy"), "\(ending)")
    #expect(!ending.leavesProcesses && workplace.names.isEmpty)
  }

  /// Where system calls are only logged, there is nothing to be had all the same.
  @Test(arguments: [
    ("read", "No such file or directory"), ("create", "Read-only file system"), ("socket", "Network is unreachable"),
    ("execute", "No such file or directory"), ("trace", "No such process"), ("signal", "No such process"), ("peek", "No such process"),
    ("mount", "Operation not permitted"), ("inject", "Inappropriate ioctl for device"),
  ])
  func withoutItsPolicyTheRoomIsStillEmpty(attempt name: String, reason: String) throws {
    let ending = try attempt(name, policies: "-")
    // Landlock, where there is some, refuses before anybody looks for a file.
    let reasons = ["read", "create", "execute"].contains(name) ? [reason, "Permission denied"] : [reason]
    #expect(reasons.map { "result: \($0)\n" }.contains(ending.output), "\(ending)")
    #expect(!ending.leavesProcesses)
  }

  /// The empty root itself can be looked at, but where Landlock forbids that.
  @Test func landlockForbidsEvenTheEmptyRoot() throws {
    let hasLandlock = clinux_landlock_create_ruleset(nil, 0, 1) >= 1
    let ending = try attempt("list", policies: "-")
    #expect(ending.output == (hasLandlock ? "result: Permission denied\n" : "result: done\n"), "\(ending)")
  }

  @Test func itsMistakesAreReported() throws {
    let ending = try attempt("trap", policies: Self.policies)
    #expect(ending.errors.contains("evil: ") && ending.errors.contains("Fatal error: a mistake in the device"), "\(ending)")
    #expect(ending.output.hasPrefix("ended: device evil: it"), "\(ending)")
  }
}
