internal import CLinux
internal import Glibc
public import Platform

/// A filter of system calls as the kernel takes it (seccomp(2)).
public struct SeccompProgram: Sendable, Equatable {
  /// The size of a `struct sock_filter`.
  static let instructionSize = 8
  /// The most instructions that the kernel takes (BPF_MAXINSNS).
  static let longest = 4096

  /// The instructions, a `struct sock_filter` each: to send to another process of this machine, which need not parse a policy.
  public let bytes: [UInt8]

  /// Takes instructions; whether they mean anything the kernel says when they are installed.
  ///
  /// - Throws: `PolicyError` unless there are 1 to 4096 whole instructions.
  public init(bytes: [UInt8]) throws(PolicyError) {
    let (count, rest) = bytes.count.quotientAndRemainder(dividingBy: SeccompProgram.instructionSize)
    guard count > 0, rest == 0 else { throw .notAProgram(count: bytes.count) }
    guard count <= SeccompProgram.longest else { throw .tooLarge(instructions: count) }
    self.bytes = bytes
  }

  /// Filters the system calls of the calling thread from here on, and of all that it starts; it cannot be undone.
  ///
  /// The thread must have set no_new_privs (prctl(2)), or have CAP_SYS_ADMIN. Takes no lock and allocates nothing unless it fails, so that a
  /// child which was just forked can call it.
  ///
  /// - Parameter allThreads: Filter all threads of the process.
  /// - Throws: `SystemError`; EINVAL for bytes that are no program, EACCES without no_new_privs, ESRCH when another thread has filters of
  ///   its own, so that nothing was changed.
  public func install(allThreads: Bool = false) throws(SystemError) {
    let flags = allThreads ? UInt32(SECCOMP_FILTER_FLAG_TSYNC) : 0
    let count = UInt16(bytes.count / SeccompProgram.instructionSize)
    // The kernel copies the instructions during the call.
    let result = unsafe bytes.withUnsafeBytes { unsafe clinux_seccomp_install($0.baseAddress, count, flags) }
    if result < 0 { throw SystemError.last("filter system calls") }
    if result > 0 { throw SystemError("filter system calls of thread \(result) too", code: ESRCH) }
  }
}
