internal import CLinux
internal import Glibc
internal import Synchronization

/// A listening socket in the file system: never in the place of one that somebody listens at, and taken away at the end.
public final class NamedSocket: Sendable {
  /// Where it is.
  public let path: String
  private let descriptor: OwnedDescriptor
  /// What `path` named when it was made: it is not ours any more once somebody put another there.
  private let identity: Identity
  private let leavesName = Atomic<Bool>(false)

  private struct Identity: Equatable, Sendable {
    let device: UInt
    let file: UInt
  }

  /// The listening descriptor, lent; non-blocking.
  public var number: Int32 { descriptor.number }

  /// Makes the socket. One that nobody listens at any more is replaced.
  ///
  /// - Parameters:
  ///   - path: Where.
  ///   - kind: A stream or sequenced packets.
  ///   - backlog: How many connections may wait to be accepted; the kernel's own limit (net.core.somaxconn) holds besides.
  ///   - mode: Who may use it.
  public init(path: String, kind: UnixSocket.Kind, backlog: Int32, mode: UInt32) throws(NamedSocketError) {
    guard path.utf8.count <= UnixSocket.longestPath else { throw .pathTooLong(path) }
    // Others that want a place in this folder wait: between a look at who listens and the end of that, nobody else may begin.
    let turn = Self.lockFolder(of: path)
    defer { _ = turn }
    try Self.clear(path, kind)
    do {
      descriptor = try UnixSocket.listen(at: path, kind: kind, backlog: backlog, mode: mode)
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
  public func leaveName() { leavesName.store(true, ordering: .relaxed) }

  /// Takes the socket's name away, if it still names this socket.
  public func remove() {
    if !leavesName.load(ordering: .relaxed), Self.identity(path) == identity { _ = unsafe unlink(path) }
  }

  /// Locks a folder against other programs that do the same, as long as the descriptor is open; gives up after a second, for anybody who
  /// may read the folder can hold the lock.
  private static func lockFolder(of path: String) -> DescriptorBox? {
    guard let descriptor = try? OwnedDescriptor.open(folderName(of: path), flags: O_RDONLY | O_DIRECTORY) else { return nil }
    for _ in 0..<100 {
      if flock(descriptor.number, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK && errno != EINTR { break }
      usleep(10_000)
    }
    return DescriptorBox(descriptor)
  }

  private static func identity(_ path: String) -> Identity? {
    var status = stat()
    guard unsafe lstat(path, &status) == 0 else { return nil }
    return Identity(device: UInt(status.st_dev), file: UInt(status.st_ino))
  }

  /// Removes a socket that nobody listens at.
  private static func clear(_ path: String, _ kind: UnixSocket.Kind) throws(NamedSocketError) {
    var status = stat()
    guard unsafe lstat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFSOCK else { throw .notASocket(path) }
    do throws(SystemError) {
      _ = try UnixSocket.connect(to: path, kind: kind, mayWait: false)
    } catch {
      switch error.code {
      // Refused: its owner is gone. A socket of another kind is somebody else's (EPROTOTYPE). One with no room for more is alive.
      case ECONNREFUSED:
        _ = unsafe unlink(path)
        return
      case EPROTOTYPE: throw .notASocket(path)
      case EAGAIN: break
      default: throw .system(error)
      }
    }
    throw .inUse(path)
  }
}

/// Why a socket could not be made.
public enum NamedSocketError: Error, Equatable, Sendable {
  /// The path is longer than a socket's may be.
  case pathTooLong(String)
  /// Somebody listens there.
  case inUse(String)
  /// This user may not make a socket there.
  case refused(String)
  /// Something else is there, or a socket of another kind.
  case notASocket(String)
  /// It was gone as soon as it was made.
  case missing(String)
  /// A system call failed.
  case system(SystemError)
}
