import Glibc
import Platform
import Testing

/// The two ends of a pseudo-terminal.
private struct PseudoTerminal: ~Copyable {
  let controller: OwnedDescriptor
  let terminal: OwnedDescriptor

  init() throws(SystemError) {
    let controller = try OwnedDescriptor.open("/dev/ptmx", flags: O_RDWR | O_NOCTTY)
    let number = controller.number
    // TIOCSPTLCK and TIOCGPTN (ioctl_tty(2)), whose library functions Swift does not see.
    var locked: Int32 = 0
    var index: UInt32 = 0
    try retrying("unlock the terminal") { unsafe Int(ioctl(number, 0x4004_5431, &locked)) }
    try retrying("number the terminal") { unsafe Int(ioctl(number, 0x8004_5430, &index)) }
    terminal = try OwnedDescriptor.open("/dev/pts/\(index)", flags: O_RDWR | O_NOCTTY)
    self.controller = controller
  }

  var settings: termios {
    var settings = termios()
    unsafe tcgetattr(terminal.number, &settings)
    return settings
  }
}

/// Exits while the terminal is still raw.
private func leave(holding terminal: borrowing Terminal) { exit(3) }

@Suite(.serialized) struct TerminalTests {
  @Test func rawModeLastsAsLongAsTheValue() throws {
    let pair = try PseudoTerminal()
    let before = pair.settings
    #expect(before.c_lflag & tcflag_t(ICANON | ECHO | ISIG) == tcflag_t(ICANON | ECHO | ISIG))
    do {
      let raw = try Terminal(descriptor: pair.terminal.number)
      #expect(pair.settings.c_lflag & tcflag_t(ICANON | ECHO | ISIG) == 0)
      #expect(pair.settings.c_iflag & tcflag_t(ICRNL | IXON) == 0)
      #expect(pair.settings.c_oflag == before.c_oflag)
      _ = consume raw
    }
    #expect(pair.settings.c_lflag == before.c_lflag && pair.settings.c_iflag == before.c_iflag)
  }

  @Test func aSignalThatEndsTheProcessPutsTheSettingsBack() throws {
    let pair = try PseudoTerminal()
    let before = pair.settings
    for signal in [SIGTERM, SIGHUP, SIGSEGV, SIGILL] {
      let status = try inChildProcess {
        // The test runner may have handlers of its own, and its threads block signals.
        _ = Glibc.signal(signal, SIG_DFL)
        var all = sigset_t()
        unsafe sigfillset(&all)
        unsafe pthread_sigmask(SIG_UNBLOCK, &all, nil)
        guard let raw = try? Terminal(descriptor: pair.terminal.number) else { return }
        raise(signal)
        _ = consume raw
      }
      #expect(status & 0x7f == signal)
      #expect(pair.settings.c_lflag == before.c_lflag)
    }
  }

  @Test func leavingThroughExitPutsTheSettingsBack() throws {
    let pair = try PseudoTerminal()
    let before = pair.settings
    let status = try inChildProcess {
      guard let raw = try? Terminal(descriptor: pair.terminal.number) else { return }
      if pair.settings.c_lflag == before.c_lflag { _exit(9) }
      leave(holding: raw)
    }
    #expect(status == 3 << 8)
    #expect(pair.settings.c_lflag == before.c_lflag)
  }

  @Test func whatIsNoTerminalIsLeftAlone() throws {
    let pipe = try TestPipe()
    _ = try Terminal(descriptor: pipe.readEnd.number)
    _ = try Terminal(descriptor: -1)
  }
}
