import Glibc
import Testing

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

  /// Whether each key goes to who reads, at once and without meaning.
  var isRaw: Bool { settings.c_lflag & tcflag_t(ICANON | ECHO | ISIG) == 0 }

  /// Whether its settings are these.
  func has(_ wanted: termios) -> Bool {
    let now = settings
    return unsafe now.c_iflag == wanted.c_iflag && now.c_oflag == wanted.c_oflag && now.c_cflag == wanted.c_cflag
      && now.c_lflag == wanted.c_lflag && withUnsafeBytes(of: now.c_cc, Array.init) == withUnsafeBytes(of: wanted.c_cc, Array.init)
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
