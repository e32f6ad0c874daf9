import Glibc
import Testing

/// A machine ends when it is told to, whatever it does at the moment.
@Suite(.enabled(if: Crosvm.hasKVM, "needs a usable /dev/kvm"))
struct SignalTests {
  let workplace = Workplace()
  static let signals = [SIGINT, SIGTERM, SIGHUP]
  static let guests = ["spins", "sleeps", "chatters"]
  static let modes = Crosvm.hasNamespaces ? [["run"], ["run", "--disable-sandbox"]] : [["run", "--disable-sandbox"]]

  init() {
    workplace.write("spins", Firmware.spins)
    workplace.write("sleeps", Firmware.sleeps)
    workplace.write("chatters", Firmware.chatters)
  }

  @Test(arguments: signals, guests)
  func aRunningMachineEndsInGoodOrder(signal: Int32, guest: String) throws {
    for mode in Self.modes { try endsInGoodOrder(signal, mode, guest) }
  }

  private func endsInGoodOrder(_ signal: Int32, _ mode: [String], _ guest: String) throws {
    let machine = try Crosvm(mode + ["-c", "4", "--bios", guest], in: workplace)
    #expect(machine.waitForOutput("A"))
    machine.send(signal)
    let ending = machine.end()
    #expect(ending.status == 0 && !ending.leavesProcesses)
    #expect(ending.output.allSatisfy { $0 == "A" } && ending.errors.isEmpty)
  }

  /// Wherever in its start the signal meets it: it ends in good order or, before it listens to signals, at once.
  @Test(arguments: signals)
  func aMachineThatStartsEndsToo(signal: Int32) throws {
    for milliseconds in [0, 1, 2, 4, 8, 16, 32, 64] {
      let machine = try Crosvm(["run", "--disable-sandbox", "--bios", "spins"], in: workplace)
      usleep(UInt32(milliseconds) * 1000)
      machine.send(signal)
      let ending = machine.end()
      #expect(ending.status == 0 || ending.status == 128 + signal)
      #expect(["", "A"].contains(ending.output) && ending.errors.isEmpty && !ending.leavesProcesses)
    }
    #expect(workplace.names == ["chatters", "sleeps", "spins"])
  }

  @Test(arguments: signals, modes)
  func theTerminalIsPutBack(signal: Int32, mode: [String]) throws {
    let terminal = try PseudoTerminal()
    let before = terminal.settings
    let machine = try Crosvm(mode + ["--bios", "sleeps"], in: workplace, terminal: terminal.path)
    let shown = terminal.read(until: "A")
    #expect(terminal.settings.c_lflag & tcflag_t(ICANON | ECHO | ISIG) == 0)
    machine.send(signal)
    #expect(machine.end().status == 0)
    #expect(terminal.settings.c_lflag == before.c_lflag && terminal.settings.c_iflag == before.c_iflag)
    #expect(shown + terminal.readRest() == "A")
  }
}

/// The two ends of a terminal.
final class PseudoTerminal {
  let path: String
  private let controller: Int32
  private let terminal: Int32

  init() throws {
    controller = unsafe open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)
    // TIOCSPTLCK and TIOCGPTN (ioctl_tty(2)), whose library functions Swift does not see.
    var locked: Int32 = 0
    var index: UInt32 = 0
    try unsafe #require(ioctl(controller, 0x4004_5431, &locked) == 0 && ioctl(controller, 0x8004_5430, &index) == 0)
    path = "/dev/pts/\(index)"
    // Held open, so that the settings stay when the command has gone.
    terminal = unsafe open(path, O_RDWR | O_NOCTTY | O_CLOEXEC)
  }

  deinit {
    close(terminal)
    close(controller)
  }

  var settings: termios {
    var settings = termios()
    unsafe tcgetattr(terminal, &settings)
    return settings
  }

  /// Everything up to and including a text.
  func read(until text: String) -> String {
    var shown = ""
    _ = Crosvm.wait {
      shown += readRest()
      return shown.contains(text)
    }
    return shown
  }

  /// Types.
  func write(_ bytes: [UInt8]) { unsafe _ = Glibc.write(controller, bytes, bytes.count) }

  /// What there is to read now.
  func readRest() -> String {
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = unsafe Glibc.read(controller, &bytes, bytes.count)
    return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
  }
}
