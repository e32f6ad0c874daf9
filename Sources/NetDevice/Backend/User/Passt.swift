internal import CLinux
internal import Glibc
public import Platform

/// passt (https://passt.top), which brings a guest's frames into the host's network without any privileges: to the network it is a program of
/// this user that opens sockets.
///
/// It is a process of its own, in a sandbox of its own, and lives as long as its socket: that is open in the device's process only, so passt
/// ends with the machine, however that ends.
enum Passt {
  /// The most time that it may take to be ready, in milliseconds, on a host that is not overloaded.
  private static let patience = 20_000
  /// How much of what it says is looked at, in bytes.
  private static let wordLimit = 16 << 10

  /// Starts it and waits until it is ready.
  ///
  /// - Parameter mtu: The largest packet that the guest is told to send; its own choice where it is nil.
  /// - Returns: A socket to it that does not block.
  static func start(forwards: [PortForward], mtu: Int?) throws(PasstError) -> DescriptorBox {
    for forward in forwards { try check(forward) }
    do {
      let (ours, theirs) = try pair()
      let words = try memory()
      let process = try spawn(arguments(forwards, mtu), socket: theirs.number, errors: words.number)
      // Only its own end is left, so that a passt that is gone is noticed.
      _ = theirs.take()
      guard try waitUntilReady(process) else { throw PasstError.refused(reason(words.number)) }
      return ours
    } catch let error as PasstError { throw error } catch let error as SystemError {
      throw error.code == ENOENT ? .missing : .system(error)
    } catch { throw .refused("\(error)") }
  }

  /// Sees that the host's port is free: passt says nothing where it is not.
  private static func check(_ forward: PortForward) throws(PasstError) {
    let type = forward.transport == .tcp ? SOCK_STREAM : SOCK_DGRAM
    let number = Glibc.socket(AF_INET, Int32(type.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard number >= 0 else { throw .system(SystemError.last("make a socket")) }
    let socket = OwnedDescriptor(owning: number)
    var isOn: Int32 = 1
    // Connections that ended a moment ago do not count, as they do not for passt.
    if forward.transport == .tcp {
      unsafe _ = setsockopt(socket.number, SOL_SOCKET, SO_REUSEADDR, &isOn, socklen_t(MemoryLayout<Int32>.size))
    }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = forward.hostPort.bigEndian
    address.sin_addr.s_addr = (forward.address?.rawValue ?? 0).bigEndian
    // The address is a value of this frame; the kernel copies it during the call.
    let code = unsafe withUnsafePointer(to: &address) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe bind(socket.number, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard code < 0 else { return }
    if let address = forward.address, errno == EADDRNOTAVAIL { throw .address(address) }
    throw .port(forward, errno)
  }

  /// The socket's number in the new process.
  private static let socketNumber: Int32 = 3

  /// The program's name and its options.
  static func arguments(_ forwards: [PortForward], _ mtu: Int?) -> [String] {
    var words = ["passt", "--quiet", "--stderr", "--fd", "\(socketNumber)"]
    if let mtu { words += ["--mtu", "\(mtu)"] }
    for (transport, option) in [(PortForward.Transport.tcp, "--tcp-ports"), (.udp, "--udp-ports")] {
      for forward in forwards where forward.transport == transport { words += [option, forward.specification] }
    }
    return words
  }

  private static func pair() throws(SystemError) -> (DescriptorBox, DescriptorBox) {
    var ends: (Int32, Int32) = (-1, -1)
    // A tuple of two equal elements has the layout of an array of two.
    try retrying("make a pair of sockets") {
      unsafe withUnsafeMutablePointer(to: &ends) {
        unsafe $0.withMemoryRebound(to: Int32.self, capacity: 2) { numbers in
          unsafe Int(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, numbers))
        }
      }
    }
    let (ours, theirs) = (DescriptorBox(OwnedDescriptor(owning: ends.0)), DescriptorBox(OwnedDescriptor(owning: ends.1)))
    try retrying("make a socket one that does not block") { Int(clinux_fcntl(ours.number, F_SETFL, Int(O_RDWR | O_NONBLOCK))) }
    return (ours, theirs)
  }

  /// A file in memory, for what it says.
  private static func memory() throws(SystemError) -> OwnedDescriptor {
    OwnedDescriptor(owning: Int32(try retrying("memfd_create") { unsafe Int(memfd_create("passt", UInt32(clinux_MFD_CLOEXEC))) }))
  }

  /// Starts the program with the socket and the standard streams only, without our environment.
  private static func spawn(_ arguments: [String], socket: Int32, errors: Int32) throws(SystemError) -> pid_t {
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0)
    unsafe posix_spawn_file_actions_adddup2(&actions, 0, 1)
    unsafe posix_spawn_file_actions_adddup2(&actions, errors, 2)
    unsafe posix_spawn_file_actions_adddup2(&actions, socket, socketNumber)
    unsafe _ = posix_spawn_file_actions_addclosefrom_np(&actions, socketNumber + 1)
    var attributes = posix_spawnattr_t()
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    // What we block or ignore is not its business.
    var signals = sigset_t()
    unsafe sigemptyset(&signals)
    unsafe posix_spawnattr_setsigmask(&attributes, &signals)
    unsafe sigfillset(&signals)
    unsafe posix_spawnattr_setsigdefault(&attributes, &signals)
    unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    var words: [UnsafeMutablePointer<CChar>?] = unsafe arguments.map { unsafe strdup($0) } + [nil]
    defer { unsafe words.forEach { unsafe free($0) } }
    var environment: [UnsafeMutablePointer<CChar>?] = unsafe [nil]
    var process = pid_t()
    // Whoever started us may ignore it; then nobody could tell how passt ended.
    _ = signal(SIGCHLD, SIG_DFL)
    let code = unsafe posix_spawnp(&process, arguments[0], &actions, &attributes, &words, &environment)
    guard code == 0 else { throw SystemError("start passt", code: code) }
    return process
  }

  /// Waits for the process that was started: once passt is ready it goes on in another, and this one ends.
  ///
  /// - Returns: Whether it is ready.
  private static func waitUntilReady(_ process: pid_t) throws(PasstError) -> Bool {
    for _ in 0..<patience {
      var status: Int32 = 0
      switch unsafe waitpid(process, &status, WNOHANG) {
      case process: return status == 0
      default: usleep(1000)
      }
      // The machine, which is told to end already, does so as soon as it has started.
      if SignalFD.hasPending(SIGTERM) || SignalFD.hasPending(SIGINT) || SignalFD.hasPending(SIGHUP) {
        end(process)
        return true
      }
    }
    end(process)
    throw .tooSlow
  }

  private static func end(_ process: pid_t) {
    kill(process, SIGKILL)
    _ = waitpid(process, nil, 0)
  }

  /// What it said last of its own.
  private static func reason(_ words: Int32) -> String {
    var bytes = [UInt8](repeating: 0, count: wordLimit)
    let count = unsafe pread(words, &bytes, bytes.count, 0)
    let lines = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self).split(whereSeparator: \.isNewline)
    return lines.last { !$0.hasPrefix("Failed to send ") }.map(String.init) ?? "it gives no reason"
  }
}

/// Why there is no network of the user's own.
public enum PasstError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The program is not there.
  case missing
  /// It ended, with these words.
  case refused(String)
  /// A port of the host cannot be had, for the reason that the number of a system error tells.
  case port(PortForward, Int32)
  /// The host has no such address to listen at.
  case address(IPv4Address)
  /// It is not ready after a long time.
  case tooSlow
  /// It could not be started.
  case system(SystemError)

  /// One line: what is wrong and what to do.
  public var description: String {
    switch self {
    case .missing: "the network \"user\" needs passt, which is not in PATH; install the package passt"
    case .refused(let reason) where reason.contains("xternal interface"):
      "passt does not start, for this host has no default route, from which it takes the guest's addresses; add one (ip route show)"
    case .refused(let reason): "passt does not start: \(reason)"
    case .port(let forward, EACCES):
      "\(forward.place) of the host cannot be listened at by this user; give one from 1024, or lower net.ipv4.ip_unprivileged_port_start"
    case .port(let forward, let code):
      "\(forward.place) of the host cannot be listened at: \(SystemError("", code: code).reason); give another one"
    case .address(let address):
      "the host does not have the address \(address), where a port is to be listened at; give one of those that \"ip address\" shows"
    case .tooSlow: "passt is not ready after 20 seconds; see what passt --foreground says"
    case .system(let error): error.description
    }
  }
}
