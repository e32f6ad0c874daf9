internal import CLinux
internal import Glibc
internal import Platform
internal import Synchronization

/// How a control socket is called where only a directory was named.
public enum ControlSocketPath {
  /// The path of a process's socket in a directory; `nil` when `path` is none.
  public static func inDirectory(_ path: String, process: Int) -> String? {
    var status = stat()
    guard unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { return nil }
    return (path.hasSuffix("/") ? path : path + "/") + "crosvm-\(process).sock"
  }
}

/// The socket of a machine in the file system: made for its owner only, never in the place of another machine's, and taken away at the end.
final class ControlSocket: Sendable {
  /// Where it is.
  let path: String
  private let descriptor: OwnedDescriptor
  /// What `path` named when it was made: it is not ours any more once somebody put another there.
  private let identity: Identity
  private let leavesName = Atomic<Bool>(false)

  private struct Identity: Equatable, Sendable {
    let device: UInt
    let file: UInt
  }

  /// The listening descriptor, lent; non-blocking.
  var number: Int32 { descriptor.number }

  /// Makes the socket. One that nobody listens at any more is replaced.
  ///
  /// - Parameter path: Where. In a directory it is called `crosvm-PID.sock`.
  init(path: String) throws(ControlError) {
    let path = ControlSocketPath.inDirectory(path, process: Int(getpid())) ?? path
    guard path.utf8.count <= UnixSocket.longestPath else { throw .pathTooLong(path) }
    try Self.clear(path)
    do {
      descriptor = try UnixSocket.listen(at: path, kind: .sequencedPacket, backlog: 64, mode: 0o600)
      let number = descriptor.number
      try retrying("prepare socket \(path)") { Int(clinux_fcntl(number, F_SETFL, Int(O_NONBLOCK))) }
    } catch {
      throw error.code == EADDRINUSE ? .inUse(path) : error.code == EACCES ? .refused(path) : .system(error)
    }
    guard let identity = Self.identity(path) else { throw .missing(path) }
    self.path = path
    self.identity = identity
  }

  deinit { remove() }

  /// From now on it is another process that takes the socket's name away.
  func leaveName() { leavesName.store(true, ordering: .relaxed) }

  /// Takes the socket's name away, if it still names this socket.
  func remove() {
    if !leavesName.load(ordering: .relaxed), Self.identity(path) == identity { _ = unsafe unlink(path) }
  }

  private static func identity(_ path: String) -> Identity? {
    var status = stat()
    guard unsafe lstat(path, &status) == 0 else { return nil }
    return Identity(device: UInt(status.st_dev), file: UInt(status.st_ino))
  }

  /// Removes a socket that nobody listens at.
  private static func clear(_ path: String) throws(ControlError) {
    var status = stat()
    guard unsafe lstat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFSOCK else { throw .notASocket(path) }
    do {
      _ = try UnixSocket.connect(to: path, kind: .sequencedPacket)
      throw ControlError.inUse(path)
    } catch let error as SystemError {
      // Refused: its owner is gone. A socket of another kind is somebody else's (EPROTOTYPE).
      guard error.code == ECONNREFUSED else { throw error.code == EPROTOTYPE ? .notASocket(path) : .system(error) }
      _ = unsafe unlink(path)
    } catch let error as ControlError { throw error } catch { throw .inUse(path) }
  }
}
