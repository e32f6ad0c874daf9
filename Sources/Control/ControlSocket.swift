internal import CLinux
internal import Glibc
internal import Platform

/// How a control socket is called where only a directory was named.
public enum ControlSocketPath {
  /// The path of a process's socket in a directory; `nil` when `path` is none.
  public static func inDirectory(_ path: String, process: Int) -> String? {
    var status = stat()
    guard unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { return nil }
    return (path.hasSuffix("/") ? path : path + "/") + "crosvm-\(process).sock"
  }
}

/// The socket of a machine in the file system: made for its owner only, never in the place of another machine's.
enum ControlSocket {
  /// Makes the socket. One that nobody listens at any more is replaced.
  ///
  /// - Parameter path: Where. In a directory it is called `crosvm-PID.sock`.
  static func make(path: String) throws(ControlError) -> NamedSocket {
    let path = ControlSocketPath.inDirectory(path, process: Int(getpid())) ?? path
    do {
      return try NamedSocket(path: path, kind: .sequencedPacket, backlog: 64, mode: 0o600)
    } catch {
      throw switch error {
      case .pathTooLong(let path): .pathTooLong(path)
      case .inUse(let path): .inUse(path)
      case .refused(let path): .refused(path)
      case .notASocket(let path): .notASocket(path)
      case .missing(let path): .missing(path)
      case .system(let error): .system(error)
      }
    }
  }
}
