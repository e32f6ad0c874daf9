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
    do {
      let (ours, theirs) = try pair()
      let words = try memory()
      let process = try spawn(arguments(forwards, mtu), socket: theirs.number, errors: words.number)
      // Only its own end is left, so that a passt that is gone is noticed.
      _ = consume theirs
      guard try waitUntilReady(process) else { throw PasstError.refused(reason(words.number)) }
      return DescriptorBox(ours)
    } catch let error as PasstError { throw error } catch let error as SystemError {
      throw error.code == ENOENT ? .missing : .system(error)
    } catch { throw .refused("\(error)") }
  }

  /// The socket's number in the new process.
  private static let socketNumber: Int32 = 3

  private static func arguments(_ forwards: [PortForward], _ mtu: Int?) -> [String] {
    var words = ["passt", "--quiet", "--stderr", "--fd", "\(socketNumber)"]
    if let mtu { words += ["--mtu", "\(mtu)"] }
    for (transport, option) in [(PortForward.Transport.tcp, "--tcp-ports"), (.udp, "--udp-ports")] {
      for forward in forwards where forward.transport == transport { words += [option, forward.specification] }
    }
    return words
  }

  private static func pair() throws(SystemError) -> (OwnedDescriptor, OwnedDescriptor) {
    var ends: (Int32, Int32) = (-1, -1)
    // A tuple of two equal elements has the layout of an array of two.
    try retrying("make a pair of sockets") {
      unsafe withUnsafeMutablePointer(to: &ends) {
        unsafe $0.withMemoryRebound(to: Int32.self, capacity: 2) { numbers in
          unsafe Int(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, numbers))
        }
      }
    }
    let (ours, theirs) = (OwnedDescriptor(owning: ends.0), OwnedDescriptor(owning: ends.1))
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
      // Somebody has said that children need not be waited for; whether it runs shows in the socket.
      case -1 where errno == ECHILD: return true
      default: usleep(1000)
      }
    }
    kill(process, SIGKILL)
    unsafe _ = waitpid(process, nil, 0)
    throw .tooSlow
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
  /// It is not ready after a long time.
  case tooSlow
  /// It could not be started.
  case system(SystemError)

  /// One line: what is wrong and what to do.
  public var description: String {
    switch self {
    case .missing: "the network \"user\" needs passt, which is not in PATH; install the package passt"
    case .refused(let reason): "passt does not start: \(reason)"
    case .tooSlow: "passt is not ready after 20 seconds; see what passt --foreground says"
    case .system(let error): error.description
    }
  }
}
