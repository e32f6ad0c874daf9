internal import CLinux
internal import Glibc

/// Local sockets that have a path (unix(7)).
public enum UnixSocket {
  /// What a socket carries.
  public enum Kind: Sendable {
    /// A stream of bytes.
    case stream
    /// Messages, each delivered whole; the sender need not be connected.
    case datagram
    /// Messages over a connection.
    case sequencedPacket

    fileprivate var number: Int32 {
      switch self {
      case .stream: Int32(SOCK_STREAM.rawValue)
      case .datagram: Int32(SOCK_DGRAM.rawValue)
      case .sequencedPacket: Int32(SOCK_SEQPACKET.rawValue)
      }
    }
  }

  /// The longest path that a socket address holds, in bytes.
  public static let longestPath = 107

  /// Connects a new socket to the one that listens at `path`.
  ///
  /// - Parameters:
  ///   - mayWait: Whether to wait where the listener has many connections to accept; the socket is non-blocking otherwise.
  ///   - seconds: How long to wait at most, then and whenever something is sent or received; nil for ever.
  /// - Throws: `SystemError`; EAGAIN where that would be and `mayWait` is false, or the wait is over; ENAMETOOLONG for a path of more than `longestPath` bytes, EINVAL for one that is empty or has a NUL.
  public static func connect(to path: String, kind: Kind, mayWait: Bool = true, seconds: Int? = nil) throws(SystemError) -> OwnedDescriptor
  {
    let socket = try make(kind, isBlocking: mayWait)
    if let seconds {
      var limit = timeval(tv_sec: seconds, tv_usec: 0)
      for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
        unsafe _ = setsockopt(socket.number, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
      }
    }
    try connect(socket.number, to: path)
    return socket
  }

  /// Connects a borrowed socket, for instance once more after its peer came back.
  public static func connect(_ socket: Int32, to path: String) throws(SystemError) {
    let operation = "connect to socket \(path)"
    let address = try address(of: path, for: operation)
    // The address is a value of this frame; the kernel copies it during the call.
    try unsafe withUnsafePointer(to: address) { pointer throws(SystemError) in
      try unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer throws(SystemError) in
        _ = try retrying(operation) { unsafe Int(Glibc.connect(socket, pointer, length)) }
      }
    }
  }

  /// Makes a socket at `path`, which must not exist, and listens there (a datagram socket receives at once).
  ///
  /// - Parameter mode: Who may use it: permission bits, of which those of the process's mask are taken away.
  public static func listen(at path: String, kind: Kind, backlog: Int32 = 16, mode: UInt32 = 0o777) throws(SystemError) -> OwnedDescriptor {
    let socket = try make(kind)
    let number = socket.number
    let operation = "listen at socket \(path)"
    // Before the socket has its name, so that there is no moment at which others may use it.
    try retrying(operation) { Int(fchmod(number, mode)) }
    let address = try address(of: path, for: operation)
    // As above.
    try unsafe withUnsafePointer(to: address) { pointer throws(SystemError) in
      try unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer throws(SystemError) in
        _ = try retrying(operation) { unsafe Int(bind(number, pointer, length)) }
      }
    }
    if kind != .datagram { try retrying(operation) { Int(Glibc.listen(number, backlog)) } }
    return socket
  }

  /// Takes the next connection of a listening socket; waits for one unless the socket is non-blocking.
  public static func accept(from listener: Int32) throws(SystemError) -> OwnedDescriptor {
    OwnedDescriptor(owning: Int32(try retrying("accept a connection") { Int(clinux_accept(listener)) }))
  }

  private static let length = socklen_t(MemoryLayout<sockaddr_un>.size)

  private static func make(_ kind: Kind, isBlocking: Bool = true) throws(SystemError) -> OwnedDescriptor {
    let type = kind.number | Int32(SOCK_CLOEXEC.rawValue) | (isBlocking ? 0 : Int32(SOCK_NONBLOCK.rawValue))
    return OwnedDescriptor(owning: Int32(try retrying("make a socket") { Int(socket(AF_UNIX, type, 0)) }))
  }

  private static func address(of path: String, for operation: String) throws(SystemError) -> sockaddr_un {
    let bytes = Array(path.utf8)
    guard !bytes.isEmpty, !bytes.contains(0) else { throw SystemError(operation, code: EINVAL) }
    guard bytes.count <= longestPath else { throw SystemError(operation, code: ENAMETOOLONG) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    // In bounds: at most 107 of the field's 108 bytes, all of which are zero before.
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
    return address
  }
}
