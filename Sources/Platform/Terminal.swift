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

  /// Has an event signalled whenever the process goes on after it was stopped: it may be `isBehind` then.
  ///
  /// - Parameter event: Lent until this is called again; nil for none.
  public static func wakeAtContinuation(_ event: EventFD?) { TerminalRestorer.wakeAtContinuation(event?.number ?? -1) }
}

/// What signal handlers need to know. Memory that never moves and is never freed, because a handler may run at any time.
private struct TerminalState {
  var descriptor: Int32 = -1
  /// Whether the others mean something.
  var isSaved = false
  var saved = termios()
  var raw = termios()
}

/// The process's one saved terminal.
///
/// Everything called from `signalled` and `goOn` is async-signal-safe (signal-safety(7)): tcgetattr, tcsetattr, tcgetpgrp, getpgrp,
/// sigprocmask, raise, write, and accesses to memory that exists before the handler is installed.
private enum TerminalRestorer {
  /// Whose settings the terminal has.
  private enum Phase {
    /// Those of others: `saved` means nothing.
    static let behind = 0
    /// One thread reads them.
    static let changing = 1
    /// Ours: `saved` are those of before.
    static let raw = 2
    /// Those of others, and so it stays: the process is about to stop or to end.
    static let left = 3
  }

  // The descriptor is written by the thread that makes and drops the `Terminal`, the settings by who changes the phase to `raw`; handlers
  // read them. Allocated once, before any handler is installed.
  nonisolated(unsafe) private static let state = {
    let pointer = UnsafeMutablePointer<TerminalState>.allocate(capacity: 1)
    unsafe pointer.initialize(to: TerminalState())
    return unsafe pointer
  }()
  private static let phase = Atomic<Int>(Phase.behind)
  /// An event to be signalled when the process goes on; -1 for none.
  private static let wake = Atomic<Int32>(-1)

  /// Signals that end the process unless somebody handles them, and faults.
  private static let fatal = [
    SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS, SIGXCPU, SIGXFSZ, SIGPIPE, SIGALRM,
    SIGVTALRM, SIGPROF, SIGUSR1, SIGUSR2, SIGIO, SIGPWR, SIGSTKFLT,
  ]

  static var isActive: Bool { unsafe state.pointee.descriptor >= 0 }

  static var isBehind: Bool { isActive && phase.load(ordering: .relaxed) == Phase.behind }

  static func activate(_ descriptor: Int32) throws(SystemError) {
    unsafe state.pointee.descriptor = descriptor
    unsafe state.pointee.isSaved = false
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

  static func wakeAtContinuation(_ event: Int32) { wake.store(event, ordering: .relaxed) }

  /// Puts the terminal into raw mode if it is ours and is not.
  ///
  /// - Returns: The number of the error, if there was one.
  private static func enter() -> Int32? {
    let descriptor = unsafe state.pointee.descriptor
    guard descriptor >= 0, isOurs(descriptor), change(from: Phase.behind, to: Phase.changing) else { return nil }
    var found = termios()
    guard unsafe tcgetattr(descriptor, &found) == 0 else {
      let code = errno
      change(from: Phase.changing, to: Phase.behind)
      return code
    }
    // Our own are not to be put back.
    if !isOurMode(found) {
      unsafe state.pointee.saved = found
      unsafe state.pointee.raw = rawSettings(from: found)
      unsafe state.pointee.isSaved = true
    }
    // Before it is so: whoever ends or stops the process from here on puts back what is there. It is `left` already where one did so before.
    guard change(from: Phase.changing, to: Phase.raw) else { return nil }
    let failure: Int32?
    switch set(raw: true) {
    case .done: failure = nil
    case .notOurs:
      change(from: Phase.raw, to: Phase.behind)
      return nil
    case .failed(let code): failure = code
    }
    // Perhaps what was put back was so before us.
    if phase.load(ordering: .acquiring) != Phase.raw { set(raw: false) }
    return failure
  }

  @discardableResult
  private static func change(from old: Int, to new: Int) -> Bool {
    phase.compareExchange(expected: old, desired: new, ordering: .acquiringAndReleasing).exchanged
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

  /// Puts the settings back, if they are ours. Nobody takes the terminal any more then, before `goOn`.
  private static func restore() {
    switch phase.exchange(Phase.left, ordering: .acquiringAndReleasing) {
    case Phase.raw: set(raw: false)
    case Phase.behind:
      var found = termios()
      if unsafe tcgetattr(state.pointee.descriptor, &found) == 0, isOurMode(found) { set(raw: false) }
    default: break
    }
  }

  /// Whether settings are those that we made, and left there when somebody stopped us without a word.
  private static func isOurMode(_ found: termios) -> Bool {
    unsafe state.pointee.isSaved && found.c_lflag == state.pointee.raw.c_lflag && found.c_iflag == state.pointee.raw.c_iflag
  }

  private enum Change {
    case done
    /// The process is in the background.
    case notOurs
    case failed(Int32)
  }

  /// Sets the terminal, if it is ours: from the background, it belongs to whoever is in the foreground now.
  @discardableResult
  private static func set(raw: Bool) -> Change {
    let descriptor = unsafe state.pointee.descriptor
    guard descriptor >= 0, isOurs(descriptor) else { return .notOurs }
    var value = unsafe raw ? state.pointee.raw : state.pointee.saved
    // Between the check and the call the process may have lost the foreground; without this it would stop.
    var blocked = sigset_t()
    var previous = sigset_t()
    unsafe sigemptyset(&blocked)
    unsafe sigaddset(&blocked, SIGTTOU)
    unsafe pthread_sigmask(SIG_BLOCK, &blocked, &previous)
    let change: Change = unsafe tcsetattr(descriptor, TCSANOW, &value) == 0 ? .done : .failed(errno)
    unsafe pthread_sigmask(SIG_SETMASK, &previous, nil)
    return change
  }

  /// The process goes on after it was stopped, however that was; it may be in the background now, where the terminal is another's.
  private static func goOn() {
    change(from: Phase.left, to: Phase.behind)
    if phase.load(ordering: .acquiring) == Phase.raw, case .notOurs = set(raw: true) { change(from: Phase.raw, to: Phase.behind) }
    comeForward()
    var one: UInt64 = 1
    let event = wake.load(ordering: .relaxed)
    // The number of an event is eight bytes.
    if event >= 0 { unsafe _ = write(event, &one, 8) }
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
