import CLinux
import Glibc

/// What a hostile device tries.
enum Attempt: String, CaseIterable {
  case read
  case list
  case create
  case socket
  case execute
  case fork
  case trace
  case signal
  case peek
  case mount
  case unshare
  case inject
  case code
  case ring
  case silence
  case hush
  case trap

  /// Tries it.
  ///
  /// - Returns: How it went: "done", or the kernel's reason.
  func make() -> String {
    switch self {
    case .read: call(Int(SYS_openat), AT_FDCWD, "/etc/passwd", Int(O_RDONLY))
    // What is there, for all its emptiness.
    case .list: call(Int(SYS_openat), AT_FDCWD, "/", Int(O_RDONLY | O_DIRECTORY))
    case .create: call(Int(SYS_openat), AT_FDCWD, "/made-by-a-device", Int(O_WRONLY | O_CREAT))
    case .socket: connect()
    case .execute: call(Int(SYS_execve), "/bin/sh")
    // Not a thread, which devices may have.
    case .fork: fork()
    // The launcher, and its parent, if their numbers meant anything here.
    case .trace: worst(others.map { clinux_system_call(Int(SYS_ptrace), 16, $0, 0, 0) })
    case .signal: worst(others.map { clinux_system_call(Int(SYS_kill), $0, 0, 0, 0) })
    case .peek: worst(others.map { clinux_peek(Int32($0)) })
    case .mount: mount()
    case .unshare: outcome(clinux_system_call(Int(SYS_unshare), Int(clinux_CLONE_NEWUSER), 0, 0, 0))
    // A character typed into the user's terminal (TIOCSTI).
    case .inject: outcome(clinux_system_call(Int(SYS_ioctl), 1, 0x5412, 0, 0))
    case .code:
      outcome(clinux_system_call(Int(SYS_mmap), 0, 4096, Int(PROT_READ | PROT_WRITE | PROT_EXEC), Int(MAP_PRIVATE | MAP_ANONYMOUS)))
    // Io_uring would make the calls that the filter forbids.
    case .ring: outcome(clinux_system_call(Int(SYS_io_uring_setup), 8, 0, 0, 0))
    // Takes the handler away that reports what is forbidden.
    case .silence: silence(Int(SIGSYS))
    // The kernel looks at the number's lower half only.
    case .hush: silence(1 << 32 | Int(SIGSYS))
    case .trap: trap()
    }
  }

  private func fork() -> String {
    let child = clinux_system_call(Int(SYS_clone), Int(SIGCHLD), 0, 0, 0)
    if child == 0 { _exit(0) }
    return outcome(child)
  }

  private func silence(_ number: Int) -> String {
    let ignore: [UInt] = [1, 0, 0, 0]
    return unsafe ignore.withUnsafeBytes {
      outcome(clinux_system_call(Int(SYS_rt_sigaction), number, Int(bitPattern: $0.baseAddress), 0, 8))
    }
  }

  private func trap() -> String { fatalError("a mistake in the device") }

  private func connect() -> String {
    let socket = clinux_system_call(Int(SYS_socket), Int(AF_INET), Int(SOCK_STREAM.rawValue), 0, 0)
    guard socket >= 0 else { return outcome(socket) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = 0x5000
    address.sin_addr.s_addr = 0x0100_007f
    return unsafe withUnsafePointer(to: &address) {
      outcome(clinux_system_call(Int(SYS_connect), socket, Int(bitPattern: $0), MemoryLayout<sockaddr_in>.size, 0))
    }
  }

  private func mount() -> String {
    unsafe "tmpfs".withCString { type in
      unsafe "/".withCString { root in
        outcome(clinux_system_call(Int(SYS_mount), Int(bitPattern: type), Int(bitPattern: root), Int(bitPattern: type), 0))
      }
    }
  }

  private func call(_ number: Int, _ first: Int32, _ path: String, _ flags: Int) -> String {
    unsafe path.withCString { outcome(clinux_system_call(number, Int(first), Int(bitPattern: $0), flags, 0o600)) }
  }

  private func call(_ number: Int, _ path: String) -> String {
    unsafe path.withCString { outcome(clinux_system_call(number, Int(bitPattern: $0), 0, 0, 0)) }
  }

  private func outcome(_ result: Int) -> String { result >= 0 ? "done" : unsafe String(cString: strerror(errno)) }

  /// Numbers that are no thread of this process.
  private var others: ClosedRange<Int> { 100...4000 }

  /// Whether any of many went well.
  private func worst(_ results: [Int]) -> String { results.contains { $0 >= 0 } ? "done" : unsafe String(cString: strerror(errno)) }
}
