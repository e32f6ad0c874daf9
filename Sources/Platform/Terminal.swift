internal import CLinux
internal import Glibc

/// A terminal in raw mode for as long as this value lives: each key goes to the guest at once, Ctrl-C included.
///
/// The settings are put back when the value goes, when the process exits, and when a signal ends it (SIGKILL excepted). A process that
/// is stopped gives the terminal back meanwhile. Lines that the process writes itself still end in carriage return and line feed.
public struct Terminal: ~Copyable, Sendable {
  private let isRaw: Bool

  /// Puts the terminal behind a borrowed descriptor into raw mode. Does nothing when it is no terminal, when this process is in the
  /// background, or when another `Terminal` lives: a process has one.
  public init(descriptor: Int32 = 0) throws(SystemError) {
    isRaw = isatty(descriptor) == 1 && TerminalRestorer.isOurs(descriptor) && !TerminalRestorer.isActive
    if isRaw { try TerminalRestorer.activate(descriptor) }
  }

  deinit { if isRaw { TerminalRestorer.deactivate() } }
}

/// What signal handlers need to know. Memory that never moves and is never freed, because a handler may run at any time.
private struct TerminalState {
  var descriptor: Int32 = -1
  var saved = termios()
  var raw = termios()
}

/// The process's one saved terminal.
///
/// Everything called from `signalled` is async-signal-safe (signal-safety(7)): tcsetattr, tcgetpgrp, getpgrp, sigprocmask, raise, and the
/// read of a pointer that exists before the handler is installed.
private enum TerminalRestorer {
  // Written by the thread that makes and drops the `Terminal`; handlers read it. Allocated once, before any handler is installed.
  nonisolated(unsafe) private static let state = {
    let pointer = UnsafeMutablePointer<TerminalState>.allocate(capacity: 1)
    unsafe pointer.initialize(to: TerminalState())
    return unsafe pointer
  }()

  /// Signals that end the process unless somebody handles them, and faults.
  private static let fatal = [
    SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS, SIGXCPU, SIGXFSZ, SIGPIPE, SIGALRM,
    SIGVTALRM, SIGPROF, SIGUSR1, SIGUSR2, SIGIO, SIGPWR, SIGSTKFLT,
  ]

  static var isActive: Bool { unsafe state.pointee.descriptor >= 0 }

  static func activate(_ descriptor: Int32) throws(SystemError) {
    var saved = termios()
    try retrying("read the terminal's settings") { unsafe Int(tcgetattr(descriptor, &saved)) }
    unsafe state.pointee.saved = saved
    unsafe state.pointee.raw = rawSettings(from: saved)
    unsafe state.pointee.descriptor = descriptor
    installHandlers()
    try retrying("put the terminal into raw mode") { unsafe Int(tcsetattr(descriptor, TCSANOW, &state.pointee.raw)) }
  }

  static func deactivate() {
    restore()
    unsafe state.pointee.descriptor = -1
  }

  private static func rawSettings(from saved: termios) -> termios {
    var raw = saved
    raw.c_lflag &= ~tcflag_t(ICANON | ECHO | ECHONL | ISIG | IEXTEN)
    raw.c_iflag &= ~tcflag_t(IXON | IXOFF | ICRNL | INLCR | IGNCR | ISTRIP | BRKINT | PARMRK | INPCK)
    unsafe withUnsafeMutableBytes(of: &raw.c_cc) { bytes in
      unsafe bytes[Int(VMIN)] = 1
      unsafe bytes[Int(VTIME)] = 0
    }
    return raw
  }

  /// Whether this process may set the terminal: it is in the foreground there, or has another controlling terminal or none.
  static func isOurs(_ descriptor: Int32) -> Bool {
    let foreground = tcgetpgrp(descriptor)
    return foreground < 0 || foreground == getpgrp()
  }

  private static func restore() { set(raw: false) }

  /// Sets the terminal, if it is ours: from the background, it belongs to whoever is in the foreground now.
  private static func set(raw: Bool) {
    let descriptor = unsafe state.pointee.descriptor
    guard descriptor >= 0, isOurs(descriptor) else { return }
    var value = unsafe raw ? state.pointee.raw : state.pointee.saved
    // Between the check and the call the process may have lost the foreground; without this it would stop.
    var blocked = sigset_t()
    var previous = sigset_t()
    unsafe sigemptyset(&blocked)
    unsafe sigaddset(&blocked, SIGTTOU)
    unsafe pthread_sigmask(SIG_BLOCK, &blocked, &previous)
    _ = unsafe tcsetattr(descriptor, TCSANOW, &value)
    unsafe pthread_sigmask(SIG_SETMASK, &previous, nil)
  }

  private static func installHandlers() {
    atexit { TerminalRestorer.restore() }
    for signal in fatal { handle(signal, flags: Int32(bitPattern: SA_RESETHAND)) { TerminalRestorer.signalled($0) } }
    handle(SIGTSTP, flags: 0) { _ in
      TerminalRestorer.restore()
      raise(SIGSTOP)
    }
    handle(SIGCONT, flags: 0) { _ in TerminalRestorer.set(raw: true) }
  }

  /// Puts the settings back; the signal, whose default action is back too, ends the process on return.
  private static func signalled(_ number: Int32) {
    restore()
    raise(number)
  }

  /// Installs a handler, unless the program ignores the signal or handles it itself.
  private static func handle(_ signal: Int32, flags: Int32, _ handler: @convention(c) (Int32) -> Void) {
    var current = sigaction()
    guard unsafe sigaction(signal, nil, &current) == 0, unsafe current.__sigaction_handler.sa_handler == nil else { return }
    var action = sigaction()
    unsafe action.__sigaction_handler.sa_handler = handler
    action.sa_flags = flags | SA_RESTART
    unsafe sigemptyset(&action.sa_mask)
    unsafe sigaction(signal, &action, nil)
  }
}
