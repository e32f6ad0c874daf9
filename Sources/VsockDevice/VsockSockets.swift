internal import Platform

/// The sockets in the file system at which host programs connect to the guest's ports: one for streams, one for sequenced packets.
///
/// They go with this value, unless `leaveNames` was called.
public struct VsockSockets: Sendable {
  /// What is added to the path for sequenced packets.
  public static let sequencedSuffix = ".seqpacket"

  /// How many host programs may wait to be accepted.
  private static let backlog: Int32 = 4096

  let path: String
  let stream: NamedSocket
  let sequenced: NamedSocket

  /// Makes them, for this user only. Those that nobody listens at any more are replaced.
  ///
  /// - Throws: `VsockSocketError`.
  public init(path: String) throws(VsockSocketError) {
    self.path = path
    do throws(NamedSocketError) {
      stream = try NamedSocket(path: path, kind: .stream, backlog: VsockSockets.backlog, mode: 0o600)
      sequenced = try NamedSocket(
        path: path + VsockSockets.sequencedSuffix, kind: .sequencedPacket, backlog: VsockSockets.backlog, mode: 0o600)
    } catch { throw VsockSocketError(error) }
  }

  /// Their paths.
  public var paths: [String] { [stream.path, sequenced.path] }

  /// From now on it is another process that takes their names away.
  public func leaveNames() {
    stream.leaveName()
    sequenced.leaveName()
  }
}

/// Why there is no socket for host programs.
public struct VsockSocketError: Error, Equatable, Sendable, CustomStringConvertible {
  /// One line, with the path and the remedy.
  public let description: String

  init(_ error: NamedSocketError) {
    description =
      switch error {
      case .pathTooLong(let path): "the path of the socket \(path) has more than \(UnixSocket.longestPath) bytes; give a shorter one"
      case .inUse(let path): "somebody listens at the socket \(path), maybe another machine; give another path"
      case .refused(let path): "this user may not make the socket \(path); give another path"
      case .notASocket(let path): "\(path) is there and is not such a socket; it is left alone: give another path"
      case .missing(let path): "the socket \(path) was taken away as soon as it was made"
      case .system(let error): "\(error)"
      }
  }
}
