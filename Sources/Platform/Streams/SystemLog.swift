internal import CLinux
internal import Glibc

/// A connection to the system's log (syslog(3), RFC 3164 without a time, which the log daemon adds).
public final class SystemLog: Sendable {
  /// How serious a line is, with syslog's numbers.
  public enum Severity: Int, Sendable {
    /// The program cannot go on.
    case error = 3
    /// Something is not as it should be.
    case warning = 4
    /// What happens in good order.
    case informational = 6
    /// For developers.
    case debug = 7
  }

  private let socket: OwnedDescriptor
  /// Where the daemon is found again after it was started anew; `nil` where it cannot be.
  private let path: String?
  private let prefix: String

  /// Longer lines are cut: log daemons commonly take one KiB.
  static let longestLine = 1000

  /// Where log daemons listen.
  public static let standardPath = "/dev/log"

  /// Connects to the log daemon.
  ///
  /// - Parameters:
  ///   - tag: Stands before each line, with the process's number; control characters, spaces and colons become underscores.
  ///   - path: The daemon's socket.
  public init(tag: String, path: String = standardPath) throws(SystemError) {
    socket = try UnixSocket.connect(to: path, kind: .datagram)
    self.path = path
    prefix = SystemLog.prefix(tag: tag)
  }

  /// Takes a socket that is connected to the log daemon already, perhaps by another process.
  init(_ socket: consuming OwnedDescriptor, prefix: String, path: String?) {
    self.socket = socket
    self.path = path
    self.prefix = prefix
  }

  /// What stands before each line.
  static func prefix(tag: String) -> String {
    let safe = tag.unicodeScalars.map { $0.value > 32 && $0 != ":" && $0.value != 127 ? Character($0) : "_" }
    return "\(String(safe))[\(getpid())]: "
  }

  /// Sends one line.
  ///
  /// - Parameter mayWait: Whether to wait while the daemon is busy; where not, the line is lost then (`EAGAIN`).
  ///
  /// Control characters, those of ISO 6429's second set included, and what is no UTF-8 are replaced by question marks: so a guest can neither
  /// forge a second line, nor drive the terminal of whoever reads the log.
  public func write(_ line: some Sequence<UInt8>, severity: Severity = .informational, mayWait: Bool = true) throws(SystemError) {
    // Facility 1: user-level messages.
    var message = Array("<\(8 + severity.rawValue)>\(prefix)".utf8)
    let scalars = String(decoding: Array(line.prefix(SystemLog.longestLine)), as: UTF8.self).unicodeScalars.map { scalar in
      let isHarmless = scalar == "\t" || scalar.properties.generalCategory != .control && scalar != "\u{fffd}"
      return isHarmless ? scalar : "?"
    }
    message += String(String.UnicodeScalarView(scalars)).utf8
    let number = socket.number
    let flags = Int32(MSG_NOSIGNAL) | (mayWait ? 0 : Int32(MSG_DONTWAIT))
    for attempt in 0...1 {
      let sent = unsafe message.withUnsafeBytes { unsafe send(number, $0.baseAddress, $0.count, flags) }
      if sent >= 0 { return }
      let code = errno
      if attempt == 1 || code == EMSGSIZE || code == EAGAIN { throw SystemError("write to the system log", code: code) }
      // The daemon may have been started anew.
      if code != EINTR, let path { try UnixSocket.connect(number, to: path) }
    }
  }
}

/// Cuts the guest's output into lines for the system log.
struct SystemLogDrain: ByteDrain {
  /// More lines a second than this make the guest wait, so that it cannot flood the host's log.
  static let linesPerSecond = 1000

  private let log: SystemLog
  private var line: [UInt8] = []
  private var linesInWindow = 0
  private var windowStart: UInt64 = 0

  init(log: SystemLog) { self.log = log }

  mutating func write(_ bytes: [UInt8], for buffer: OutputBuffer) throws(SystemError) {
    for byte in bytes {
      if byte != UInt8(ascii: "\n") { line.append(byte) }
      guard byte == UInt8(ascii: "\n") || line.count >= SystemLog.longestLine else { continue }
      if line.last == UInt8(ascii: "\r") { line.removeLast() }
      guard waitForTurn(buffer) else { return }
      defer { line.removeAll(keepingCapacity: true) }
      if !line.isEmpty { try log.write(line) }
    }
  }

  mutating func finish() throws(SystemError) {
    defer { line.removeAll() }
    if !line.isEmpty { try log.write(line, mayWait: false) }
  }

  /// Waits until another line may be sent; false when the writer shall give up.
  private mutating func waitForTurn(_ buffer: OutputBuffer) -> Bool {
    let second: UInt64 = 1_000_000_000
    let now = monotonicNanoseconds()
    if now &- windowStart >= second {
      windowStart = now
      linesInWindow = 0
    }
    linesInWindow += 1
    if linesInWindow <= SystemLogDrain.linesPerSecond { return true }
    let rest = Int32(truncatingIfNeeded: (second - (now &- windowStart)) / 1_000_000 + 1)
    linesInWindow = 0
    windowStart = now &+ UInt64(rest) * 1_000_000
    return buffer.pause(milliseconds: rest)
  }
}
