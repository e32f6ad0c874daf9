internal import Platform

/// What the user sets for the sockets between guest and host.
public struct VsockConfiguration: Sendable, Equatable {
  /// Who connects the guest's sockets with the host's.
  public enum Backend: Sendable, Equatable {
    /// The host's kernel, through this device: programs of the host use sockets of the family AF_VSOCK.
    case kernel(path: String)
    /// The device's own process: programs of the host use Unix sockets, of which this is the one that they connect to.
    case socket(path: String)
  }

  /// The kernel's device, unless the user says otherwise.
  public static let kernelDevice = "/dev/vhost-vsock"

  /// The context identifiers that a guest may have: 0 to 2 and the largest are reserved (virtio 1.2, section 5.10.4).
  public static let contexts: ClosedRange<UInt32> = 3...UInt32.max - 1

  /// The longest path of a socket, in bytes: a port with its separator, or the suffix of the second socket, must fit after it.
  public static let longestPath = UnixSocket.longestPath - 11

  /// The guest's context identifier: its address.
  public var context: UInt32
  /// Who connects the sockets.
  public var backend: Backend

  /// Makes a configuration.
  public init(context: UInt32, backend: Backend = .kernel(path: kernelDevice)) {
    self.context = context
    self.backend = backend
  }

  /// Checks the values, not whether they can be used on this host.
  ///
  /// - Throws: The first that is wrong.
  public func validate() throws(VsockConfigurationError) {
    guard VsockConfiguration.contexts.contains(context) else { throw .reservedContext(context) }
    switch backend {
    case .kernel(let path), .socket(let path):
      guard !path.isEmpty, !path.utf8.contains(0) else { throw .badPath(path) }
    }
    if case .socket(let path) = backend {
      guard path.utf8.count <= VsockConfiguration.longestPath else { throw .pathTooLong(path) }
    }
  }
}

/// What is wrong with a `VsockConfiguration`.
public enum VsockConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
  /// No guest may have the context identifier.
  case reservedContext(UInt32)
  /// The path is empty or has a zero.
  case badPath(String)
  /// The path leaves no room for what is added to it.
  case pathTooLong(String)

  /// One line: what is wrong, with the value, and what to do.
  public var description: String {
    switch self {
    case .reservedContext(let context): "the context identifier \(context) is reserved; give one of 3 to 4294967294"
    case .badPath(let path): "the path \(path.debugDescription) names nothing; give the path of a socket or device"
    case .pathTooLong(let path):
      "the path \(path.debugDescription) has more than \(VsockConfiguration.longestPath) bytes, and a port must fit after it; give a shorter one"
    }
  }
}
