import CLinux
import Glibc
import Platform
import Seccomp
import Synchronization
import Testing

private typealias Fork = @convention(c) () -> pid_t

/// Filters that the kernel runs: on a thread or in a process of their own, since they cannot be taken away.
@Suite struct InstallTests {
  private final class Outcome: Sendable { let code = Atomic<Int32>(-1) }

  /// The error of a call under a policy; 0 where it succeeded.
  private func outcome(under program: SeccompProgram, of call: @escaping @Sendable () -> Int) throws -> Int32 {
    let outcome = Outcome()
    let thread = try PThread(name: "filtered") {
      _ = clinux_prctl(PR_SET_NO_NEW_PRIVS, 1)
      do throws(SystemError) { try program.install() } catch { return outcome.code.store(-error.code, ordering: .relaxed) }
      outcome.code.store(call() < 0 ? errno : 0, ordering: .relaxed)
    }
    thread.join()
    return outcome.code.load(ordering: .relaxed)
  }

  /// Allows what the thread needs besides.
  private func program(_ lines: String) throws -> SeccompProgram {
    let calls =
      "read, write, futex, exit, exit_group, munmap, mmap, madvise, mprotect, brk, rt_sigprocmask, gettid, close, rseq, set_robust_list"
    return try SeccompPolicy(text: "{\(calls)}: 1\n\(lines)", file: "test.policy") { _ in nil }.compile(onViolation: .killProcess)
  }

  @Test func theKernelTakesAFilterAndKeepsToIt() throws {
    #expect(try outcome(under: program("getppid: 1")) { Int(getppid()) } == 0)
    #expect(try outcome(under: program("lseek: return EOVERFLOW")) { lseek(0, 0, 0) } == EOVERFLOW)
    let comparing = try program("lseek: arg0 == 12345 && arg1 == 0x500000001 || arg2 & 4; return EXDEV")
    #expect(try outcome(under: comparing) { lseek(12345, 0x5_0000_0001, 0) } == EBADF)
    #expect(try outcome(under: comparing) { lseek(12345, 0x6_0000_0001, 0) } == EXDEV)
    #expect(try outcome(under: comparing) { lseek(23456, 0, 4) } == EBADF)
  }

  @Test func aViolationEndsTheProcess() throws {
    let program = try program("lseek: arg0 == 1")
    // `fork` is hidden from Swift, rightly so for anything but system calls in the child.
    guard let symbol = unsafe dlsym(nil, "fork") else { throw SystemError("find fork", code: ENOSYS) }
    let fork = unsafe unsafeBitCast(symbol, to: Fork.self)
    let child = fork()
    if child == 0 {
      _ = clinux_prctl(PR_SET_NO_NEW_PRIVS, 1)
      guard (try? program.install(allThreads: true)) != nil else { _exit(1) }
      _ = lseek(1, 0, 0)
      _ = lseek(2, 0, 0)
      _exit(2)
    }
    var status: Int32 = 0
    try retrying("wait for a child") { unsafe Int(waitpid(child, &status, 0)) }
    #expect(status & 0x7f == SIGSYS)
  }

  @Test func everyBuiltInPolicyIsTakenByTheKernel() throws {
    for name in PolicyFileTests.names {
      let program = try SeccompPolicy.load(name, directory: nil).compile(onViolation: .log)
      #expect(try outcome(under: program) { 0 } == 0, "\(name)")
    }
  }

  @Test func nonsenseIsRefusedByTheKernel() throws {
    let nonsense = try SeccompProgram(bytes: [UInt8](repeating: 0xff, count: 16))
    #expect(try outcome(under: nonsense) { 0 } == -EINVAL)
  }
}
