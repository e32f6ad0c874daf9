internal import CLinux
internal import Glibc
internal import Synchronization

/// A terminal in raw mode for as long as this value lives: each key goes to the guest at once, Ctrl-C included.
///
/// The settings are put back when the value goes, when the process exits, and when a signal ends it (SIGKILL excepted). A process that
/// is stopped gives the terminal back meanwhile, and one in the background has it only once it `comeForward`. Lines that the process writes
/// itself still end in carriage return and line feed.
public struct Terminal: ~Copyable, Sendable {
  private let isActive: Bool

  /// Puts the terminal behind a borrowed descriptor into raw mode. Does nothing when it is no terminal, or when another `Terminal` lives: a
  /// process has one.
  public init(descriptor: Int32 = 0) throws(SystemError) {
    isActive = isatty(descriptor) == 1 && !TerminalRestorer.isActive
    if isActive { try TerminalRestorer.activate(descriptor) }
  }

  deinit { if isActive { TerminalRestorer.deactivate() } }

  /// Whether the process's terminal is not in raw mode, because the process is in the background there, or was when last looked at.
  public static var isBehind: Bool { TerminalRestorer.isBehind }

  /// Puts the process's terminal into raw mode if it is not, and the process is in the foreground now. A shell's `fg` tells a process
  /// nothing that was not stopped, so it has to look. From any thread.
  public static func comeForward() { TerminalRestorer.comeForward() }
}

/// What signal handlers need to know. Memory that never moves and is never freed, because a handler may run at any time.
private struct TerminalState {
  var descriptor: Int32 = -1
  var saved = termios()
  var raw = termios()
}

/// The process's one saved terminal.
///
/// Everything called from `signalled` and `comeForward` is async-signal-safe (signal-safety(7)): tcgetattr, tcsetattr, tcgetpgrp, getpgrp,
/// sigprocmask, raise, and accesses to memory that exists before the handler is installed.
private enum TerminalRestorer {
  /// Whose settings the terminal has.
  private enum Phase {
    /// Those of others: `saved` means nothing.
    static let behind = 0
    /// One thread reads them.
    static let changing = 1
    /// Ours: `saved` are those of before.
    static let raw = 2
  }

  // The descriptor is written by the thread that makes and drops the `Terminal`, the settings by who changes the phase to `raw`; handlers
  // read them. Allocated once, before any handler is installed.
  nonisolated(unsafe) private static let state = {
    let pointer = UnsafeMutablePointer<TerminalState>.allocate(capacity: 1)
    unsafe pointer.initialize(to: TerminalState())
    return unsafe pointer
  }()
  private static let phase = Atomic<Int>(Phase.behind)

  /// Signals that end the process unless somebody handles them, and faults.
  private static let fatal = [
    SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS, SIGXCPU, SIGXFSZ, SIGPIPE, SIGALRM,
    SIGVTALRM, SIGPROF, SIGUSR1, SIGUSR2, SIGIO, SIGPWR, SIGSTKFLT,
  ]

  static var isActive: Bool { unsafe state.pointee.descriptor >= 0 }

  static var isBehind: Bool { isActive && phase.load(ordering: .relaxed) == Phase.behind }

  static func activate(_ descriptor: Int32) throws(SystemError) {
    unsafe state.pointee.descriptor = descriptor
    phase.store(Phase.behind, ordering: .relaxed)
    installHandlers()
    if let code = enter() {
      unsafe state.pointee.descriptor = -1
      throw SystemError("put the terminal into raw mode", code: code)
    }
  }

  static func deactivate() {
    restore()
    unsafe state.pointee.descriptor = -1
  }

  static func comeForward() { _ = enter() }

  /// Puts the terminal into raw mode if it is ours and is not.
  ///
  /// - Returns: The number of the error, if there was one.
  private static func enter() -> Int32? {
    let descriptor = unsafe state.pointee.descriptor
    guard descriptor >= 0, isOurs(descriptor) else { return nil }
    guard phase.compareExchange(expected: Phase.behind, desired: Phase.changing, ordering: .acquiringAndReleasing).exchanged else {
      return nil
    }
    guard unsafe tcgetattr(descriptor, &state.pointee.saved) == 0 else {
      let code = errno
      phase.store(Phase.behind, ordering: .releasing)
      return code
    }
    unsafe state.pointee.raw = rawSettings(from: state.pointee.saved)
    // Before it is so: a signal that comes between the two puts back what is there.
    phase.store(Phase.raw, ordering: .releasing)
    return set(raw: true)
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

  private static func restore() {
    guard phase.load(ordering: .acquiring) == Phase.raw else { return }
    set(raw: false)
    phase.store(Phase.behind, ordering: .releasing)
  }

  /// Sets the terminal, if it is ours: from the background, it belongs to whoever is in the foreground now.
  ///
  /// - Returns: The number of the error, if there was one.
  @discardableResult
  private static func set(raw: Bool) -> Int32? {
    let descriptor = unsafe state.pointee.descriptor
    guard descriptor >= 0, isOurs(descriptor) else { return nil }
    var value = unsafe raw ? state.pointee.raw : state.pointee.saved
    // Between the check and the call the process may have lost the foreground; without this it would stop.
    var blocked = sigset_t()
    var previous = sigset_t()
    unsafe sigemptyset(&blocked)
    unsafe sigaddset(&blocked, SIGTTOU)
    unsafe pthread_sigmask(SIG_BLOCK, &blocked, &previous)
    let failure = unsafe tcsetattr(descriptor, TCSANOW, &value) == 0 ? nil : errno
    unsafe pthread_sigmask(SIG_SETMASK, &previous, nil)
    return failure
  }

  /// The process goes on after it was stopped, however that was.
  private static func goOn() {
    if phase.load(ordering: .acquiring) == Phase.raw { set(raw: true) } else { comeForward() }
  }

  private static func installHandlers() {
    atexit { TerminalRestorer.restore() }
    for signal in fatal { handle(signal, flags: Int32(bitPattern: SA_RESETHAND)) { TerminalRestorer.signalled($0) } }
    handle(SIGTSTP, flags: 0) { _ in
      TerminalRestorer.restore()
      raise(SIGSTOP)
    }
    handle(SIGCONT, flags: 0) { _ in TerminalRestorer.goOn() }
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
