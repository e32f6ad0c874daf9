internal import CLinux
internal import Glibc
internal import Platform
internal import Seccomp

/// The launcher's own process: has one thread, waits for orders of the VMM, makes a process for each device, and cleans up when the VMM is gone.
///
/// It has no lock when it makes a child, which would inherit it.
struct LauncherProcess: ~Copyable {
  private let connection: PacketSocket
  private let children: SignalFD
  private let builder: DeviceBuilder
  private var names: [pid_t: String] = [:]
  private var sockets: SocketKeeper?
  private let terminal = TerminalState()
  /// Whether the VMM makes a machine: only then may it have changed the terminal.
  private var hasOrders = false
  /// What has come of an order in pieces.
  private var pieces: (bytes: [UInt8], descriptors: [DescriptorBox]) = ([], [])
  /// Whether the VMM gives no orders any more.
  private var isSealed = false

  /// Runs the launcher and ends the process.
  static func run(_ connection: PacketSocket, builder: @escaping DeviceBuilder) -> Never {
    // A child that ends must be heard of, whatever the VMM's own parent wanted.
    _ = signal(SIGCHLD, SIG_DFL)
    forgetEnvironment()
    // These go to all processes of a terminal or a service; what they mean is the VMM's to decide.
    for number in [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTTOU, SIGTTIN, SIGTSTP, SIGPIPE] { _ = signal(number, SIG_IGN) }
    // The first value that is hashed takes random bytes of the kernel; from here on all children have them.
    _ = 0.hashValue
    do {
      var launcher = LauncherProcess(connection: connection, children: try SignalFD([SIGCHLD]), builder: builder)
      // Whatever ends this, nothing is left behind.
      do { try launcher.serve() } catch { launcher.complain("crosvm: the launcher: \(error)\n") }
      launcher.cleanUp()
    } catch { _exit(1) }
    _exit(0)
  }

  /// Wipes the environment, which may hold secrets: children would inherit it.
  private static func forgetEnvironment() {
    var index = 0
    // The list ends with a null pointer, each text with a zero (environ(7)).
    while let text = unsafe environ[index] {
      unsafe memset(text, 0, strlen(text))
      index += 1
    }
  }

  private init(connection: PacketSocket, children: SignalFD, builder: @escaping DeviceBuilder) {
    self.connection = connection
    self.children = children
    self.builder = builder
  }

  /// Takes orders until the VMM is gone.
  private mutating func serve() throws {
    while true {
      var watched = (
        pollfd(fd: connection.number, events: Int16(POLLIN), revents: 0), pollfd(fd: children.number, events: Int16(POLLIN), revents: 0)
      )
      // A tuple of two equal elements has the layout of an array of two.
      let count = unsafe withUnsafeMutablePointer(to: &watched) {
        unsafe $0.withMemoryRebound(to: pollfd.self, capacity: 2) { unsafe poll($0, 2, -1) }
      }
      guard count > 0 else { continue }
      if watched.1.revents != 0 { reap() }
      guard watched.0.revents != 0 else { continue }
      guard case .packet(let packet) = try connection.receive() else { return }
      take(packet)
    }
  }

  private mutating func take(_ packet: PacketSocket.Packet) {
    // The VMM's last words, from its signal handler.
    if packet.bytes.first == LauncherProcess.violationKind, let violation = try? Violation(packet.bytes) {
      return complain("crosvm: \(violation.sentence(of: "the VMM", policies: "main.policy, and in vcpu.policy for a processor"))\n")
    }
    guard let order = try? LauncherOrder(packet.bytes) else { return }
    hasOrders = true
    take(order, packet.descriptors)
  }

  private mutating func take(_ order: LauncherOrder, _ descriptors: [DescriptorBox]) {
    switch order {
    case .settle: ProgramText.release()
    case .seal: isSealed = true
    case _ where isSealed: break
    case .launch(let specification): launch(specification, descriptors)
    case .removeAtEnd(let path, let device, let file): keep(path, device, file)
    case .piece(let bytes, let isLast):
      pieces.bytes += bytes
      pieces.descriptors += descriptors
      guard isLast else { return }
      let whole = pieces
      pieces = ([], [])
      // Pieces are not made of pieces.
      if let order = try? LauncherOrder(whole.bytes), case .launch = order { take(order, whole.descriptors) }
    }
  }

  /// Begins to watch over one more socket.
  private mutating func keep(_ path: String, _ device: UInt64, _ file: UInt64) {
    let socket = SocketKeeper.Socket(path: path, device: device, file: file)
    do {
      let all = (sockets?.sockets ?? []) + [socket]
      let keeper = try SocketKeeper(all)
      if let former = sockets.take() { former.dismiss() }
      sockets = consume keeper
    } catch { complain("crosvm: the launcher: \(error)\n") }
  }

  /// The kind of the packets that report a violation of the VMM's own filters.
  static let violationKind: UInt8 = 0x40

  private mutating func launch(_ specification: DeviceSpecification, _ boxes: [DescriptorBox]) {
    do {
      let connectors = try specification.connectors.map {
        DescriptorBox(try SocketConnector.fork(prefix: $0, program: specification.connectorProgram))
      }
      let descriptors = try DeviceDescriptors(boxes + connectors)
      // Closes when the users of the namespace are set, which only a process outside can do.
      var gate = try Gate()
      let child = try Namespaces.fork()
      guard child != 0 else {
        let isMapped = gate.wait()
        DeviceProcess(specification: specification, descriptors: descriptors, isPrivileged: isMapped, builder: builder).run()
      }
      gate.open(isMapped: geteuidAtStart == 0 && mapUsers(of: child))
      names[child] = specification.name
    } catch { report(.refused(name: specification.name, reason: "\(error)")) }
  }

  /// Who runs the VMM; asked before the fork, for a child in a user namespace is nobody.
  private let geteuidAtStart = geteuid()

  /// Lets a privileged user's child be nobody of the host: its only user is the one that owns no files.
  ///
  /// - Returns: Whether there is such a user: not for root of a container without it, whose children stay as they are, unmapped.
  private func mapUsers(of child: pid_t) -> Bool {
    let map = "\(LauncherProcess.nobody) \(LauncherProcess.nobody) 1"
    return write(map, to: "/proc/\(child)/gid_map") && write(map, to: "/proc/\(child)/uid_map")
  }

  /// The user and group that own nothing, by convention.
  static let nobody: UInt32 = 65534

  private func write(_ text: String, to path: String) -> Bool {
    guard let file = try? OwnedDescriptor.open(path, flags: O_WRONLY) else { return false }
    let bytes = Array(text.utf8)
    return unsafe Glibc.write(file.number, bytes, bytes.count) == bytes.count
  }

  /// Reports the children that have ended.
  private mutating func reap() {
    while children.next() != nil {}
    var status: Int32 = 0
    while true {
      let child = unsafe waitpid(-1, &status, WNOHANG)
      guard child > 0 else { return }
      guard let name = names.removeValue(forKey: child) else { continue }
      report(.ended(name: name, reason: LauncherProcess.reason(status)))
    }
  }

  /// How a process ended, in words.
  static func reason(_ status: Int32) -> String {
    let signal = clinux_ending_signal(status)
    switch signal {
    case -1: return "it ended with status \(clinux_exit_status(status))"
    case SIGSYS:
      return
        "its policy forbids a system call that it could not name (signal \(signal)); with --seccomp-log-failures the kernel's log names it"
    case SIGILL, SIGTRAP: return "it found a mistake in itself and stopped (signal \(signal), \(unsafe String(cString: strsignal(signal))))"
    default: return "it was killed by signal \(signal) (\(unsafe String(cString: strsignal(signal))))"
    }
  }

  private func report(_ report: LauncherReport) { try? connection.send(report.encoded, mayWait: false) }

  /// Says something, if somebody takes it soon: the devices are to be ended whatever becomes of it.
  private func complain(_ text: String) {
    let bytes = Array(text.utf8)
    var watched = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
    guard unsafe poll(&watched, 1, 2000) > 0 else { return }
    _ = unsafe Glibc.write(STDERR_FILENO, bytes, bytes.count)
  }

  /// Ends every device, and takes away what the VMM could not.
  private mutating func cleanUp() {
    for child in names.keys { kill(child, SIGKILL) }
    let deadline = monotonicNanoseconds() + 2_000_000_000
    while !names.isEmpty, monotonicNanoseconds() < deadline {
      var status: Int32 = 0
      let child = unsafe waitpid(-1, &status, WNOHANG)
      if child > 0 { names[child] = nil } else if child < 0 && errno == ECHILD { break } else { usleep(500) }
    }
    if let sockets = sockets.take() { sockets.finish() }
    if hasOrders { terminal.restore() }
  }
}

/// Holds a child back until its parent has done something for it: a pipe that closes.
private struct Gate {
  private var ends: (read: Int32, write: Int32) = (-1, -1)

  init() throws(SystemError) {
    var pair: [Int32] = [-1, -1]
    if unsafe pipe(&pair) < 0 { throw SystemError.last("make a pipe") }
    ends = (pair[0], pair[1])
  }

  /// In the parent: lets the child go, and tells it whether it has a user to become.
  mutating func open(isMapped: Bool) {
    _ = close(ends.read)
    if isMapped {
      var byte: UInt8 = 1
      _ = unsafe write(ends.write, &byte, 1)
    }
    _ = close(ends.write)
  }

  /// In the child: waits for the parent; whether there is a user to become.
  mutating func wait() -> Bool {
    _ = close(ends.write)
    var byte: UInt8 = 0
    var count = -1
    repeat { count = unsafe read(ends.read, &byte, 1) } while count < 0 && errno == EINTR
    _ = close(ends.read)
    return count == 1
  }
}

/// How the terminal was when the VMM started, for the case that it cannot put it back itself.
private struct TerminalState {
  private var state = termios()
  private let isTerminal: Bool

  init() { isTerminal = unsafe tcgetattr(STDIN_FILENO, &state) == 0 }

  func restore() {
    // In the background it belongs to another program, perhaps one that has put it into raw mode itself.
    let foreground = tcgetpgrp(STDIN_FILENO)
    guard isTerminal, foreground < 0 || foreground == getpgrp() else { return }
    var now = termios()
    var before = state
    // Nothing to do after an end in good order: then this would undo what a shell does meanwhile.
    guard unsafe tcgetattr(STDIN_FILENO, &now) == 0, now.c_lflag & tcflag_t(ICANON | ECHO) == 0 else { return }
    _ = unsafe tcsetattr(STDIN_FILENO, TCSANOW, &before)
  }
}
