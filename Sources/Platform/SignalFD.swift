internal import CLinux
internal import Glibc

/// A set of signals that arrive as data on a descriptor instead of interrupting a thread (signalfd(2)).
public final class SignalFD: Sendable {
  private let descriptor: OwnedDescriptor

  /// Blocks the signals in the calling thread, and so in all threads it starts later, and collects them.
  ///
  /// Make it before any other thread exists: a thread that does not block the signals still dies of them.
  public init(_ signals: [Int32]) throws(SystemError) {
    var set = sigset_t()
    unsafe sigemptyset(&set)
    for signal in signals { unsafe sigaddset(&set, signal) }
    let code = unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    guard code == 0 else { throw SystemError("block signals", code: code) }
    let flags = Int32(SFD_CLOEXEC) | Int32(SFD_NONBLOCK)
    descriptor = OwnedDescriptor(owning: Int32(try retrying("signalfd") { unsafe Int(signalfd(-1, &set, flags)) }))
  }

  /// Whether the process ignores a signal, as one that nohup(1) starts does with SIGHUP.
  public static func isIgnored(_ signal: Int32) -> Bool {
    var current = sigaction()
    guard unsafe sigaction(signal, nil, &current) == 0 else { return false }
    return unsafe unsafeBitCast(current.__sigaction_handler.sa_handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
  }

  /// Whether a signal that is blocked waits to be taken.
  public static func hasPending(_ signal: Int32) -> Bool {
    var pending = sigset_t()
    return unsafe sigpending(&pending) == 0 && sigismember(&pending, signal) == 1
  }

  /// The descriptor, lent: readable while a signal waits.
  public var number: Int32 { descriptor.number }

  /// Takes the next signal's number; `nil` when none waits.
  public func next() -> Int32? {
    var information = signalfd_siginfo()
    let size = MemoryLayout<signalfd_siginfo>.size
    return unsafe read(descriptor.number, &information, size) == size ? Int32(information.ssi_signo) : nil
  }

  /// Keeps every signal away from the calling thread, so that a helper thread never runs a handler and no write to a closed pipe ends
  /// the process. Signals for faults of the thread itself still end it.
  public static func blockAll() {
    var set = sigset_t()
    unsafe sigfillset(&set)
    for fault in [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT] { unsafe sigdelset(&set, fault) }
    unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
  }
}
