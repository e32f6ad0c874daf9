public import Platform

/// What is wrong with a control socket or what came through one.
public enum ControlError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The path is longer than a socket's may be.
  case pathTooLong(String)
  /// A running machine listens there.
  case inUse(String)
  /// Something other than a socket is there.
  case notASocket(String)
  /// Nobody listens there.
  case noMachine(String)
  /// What is there is no socket: a file, or the directory that a socket is in.
  case noSocket(String)
  /// There is nothing at the path.
  case missing(String)
  /// The user may not use it.
  case refused(String)
  /// The machine ended before it answered, or did not answer in time.
  case noAnswer(String, seconds: Int)
  /// The other side said something that this protocol does not know.
  case badMessage(String)
  /// The other side speaks another version of the protocol.
  case otherVersion(String)
  /// The request is wrong.
  case badRequest(String)
  /// A system call failed.
  case system(SystemError)

  /// What is wrong, with the value and the remedy.
  public var description: String {
    switch self {
    case .pathTooLong(let path): "the path of the socket \(path) has more than \(UnixSocket.longestPath) bytes; give a shorter one"
    case .inUse(let path): "a running machine listens at \(path); give this one another path, or stop that one (crosvm stop \(path))"
    case .notASocket(let path): "\(path) is there and is not a socket; it is left alone: give another path"
    case .noMachine(let path): "no machine listens at \(path); it has ended"
    case .noSocket(let path): "\(path) is no socket; give the path that the machine was started with (crosvm list)"
    case .missing(let path): "there is no socket \(path); give the path that the machine was started with (crosvm list)"
    case .refused(let path): "you may not use the socket \(path); it belongs to the user who started the machine"
    case .noAnswer(let path, let seconds) where seconds > 0: "the machine at \(path) did not answer within \(seconds) seconds"
    case .noAnswer(let path, _): "the machine at \(path) ended before it answered"
    case .badMessage(let reason): "the other side's message is not understood: \(reason)"
    case .otherVersion(let version):
      "the other side speaks version \(version) of the protocol, and this one version \(ControlMessage.version); use the same crosvm for both"
    case .badRequest(let reason): reason
    case .system(let error): "\(error)"
    }
  }
}
