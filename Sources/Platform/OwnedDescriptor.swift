internal import CLinux
internal import Glibc

/// A file descriptor that closes when its owner goes.
///
/// A plain `Int32` elsewhere in the project is a borrowed descriptor: valid while the owner lives, never closed by the borrower.
public struct OwnedDescriptor: ~Copyable, Sendable {
  /// The descriptor's number, to lend to a system call.
  public let number: Int32

  /// Takes ownership of an open descriptor.
  public init(owning number: Int32) { self.number = number }

  deinit { _ = close(number) }

  /// Opens a file; the descriptor does not survive `execve`.
  public static func open(_ path: String, flags: Int32, mode: UInt32 = 0) throws(SystemError) -> OwnedDescriptor {
    let number = try retrying("open \(path)") { unsafe Int(clinux_open(path, flags, mode)) }
    return OwnedDescriptor(owning: Int32(number))
  }

  /// A second descriptor for the same open file; it does not survive `execve`.
  public func duplicate() throws(SystemError) -> OwnedDescriptor { try OwnedDescriptor.duplicate(number) }

  /// A second descriptor for the open file of a borrowed one, not a standard stream's; it does not survive `execve`.
  public static func duplicate(_ original: Int32) throws(SystemError) -> OwnedDescriptor {
    OwnedDescriptor(owning: Int32(try retrying("duplicate a descriptor") { Int(clinux_fcntl(original, F_DUPFD_CLOEXEC, 3)) }))
  }

  /// Gives the number away: the caller closes it from now on.
  public consuming func release() -> Int32 {
    let number = self.number
    discard self
    return number
  }
}
