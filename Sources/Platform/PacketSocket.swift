internal import CLinux
internal import Glibc

/// One end of a connection that carries packets, each delivered whole, with descriptors beside the bytes (unix(7), SOCK_SEQPACKET).
public final class PacketSocket: Sendable {
  /// What came in one piece.
  public struct Packet: Sendable {
    /// Its bytes; never none.
    public let bytes: [UInt8]
    /// The descriptors that came with it; they close unless they are taken.
    public let descriptors: [DescriptorBox]
  }

  /// How a wait for a packet ended.
  public enum Reception: Sendable {
    /// One has come.
    case packet(Packet)
    /// The other end is closed.
    case closed
    /// None came in time.
    case nothing
  }

  /// The largest packet, in bytes; a longer one that a peer sends is cut, which its parser notices.
  public static let largestPacket = 64 << 10
  /// The most descriptors in one packet; those beyond it are closed by the kernel.
  public static let mostDescriptors = 64

  private let descriptor: OwnedDescriptor

  /// Takes an open socket as an end.
  public init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// Makes a connection with both its ends in this process.
  public static func pair() throws(SystemError) -> (PacketSocket, PacketSocket) {
    var ends: (Int32, Int32) = (-1, -1)
    // A tuple of two equal elements has the layout of an array of two.
    try retrying("make a pair of sockets") {
      unsafe withUnsafeMutablePointer(to: &ends) {
        unsafe $0.withMemoryRebound(to: Int32.self, capacity: 2) { numbers in
          unsafe Int(socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue), 0, numbers))
        }
      }
    }
    return (PacketSocket(OwnedDescriptor(owning: ends.0)), PacketSocket(OwnedDescriptor(owning: ends.1)))
  }

  /// The descriptor, lent.
  public var number: Int32 { descriptor.number }

  /// Sends a packet with copies of descriptors.
  ///
  /// - Parameter mayWait: Whether to wait for room where the receiver has let packets pile up.
  /// - Throws: `SystemError`; EPIPE when the other end is closed, EAGAIN where there is no room and `mayWait` is false, EMSGSIZE for more
  ///   than `largestPacket` bytes or `mostDescriptors`.
  public func send(_ bytes: [UInt8], descriptors: [Int32] = [], mayWait: Bool = true) throws(SystemError) {
    guard descriptors.count <= PacketSocket.mostDescriptors, bytes.count <= PacketSocket.largestPacket else {
      throw SystemError("send to another process", code: EMSGSIZE)
    }
    let number = descriptor.number
    let flags = Int32(MSG_NOSIGNAL) | (mayWait ? 0 : Int32(MSG_DONTWAIT))
    var bytes = bytes
    var control = [UInt8](repeating: 0, count: descriptors.isEmpty ? 0 : clinux_control_space(descriptors.count))
    try retrying("send to another process") {
      // All buffers outlive the call; the control buffer has room for exactly these descriptors.
      unsafe bytes.withUnsafeMutableBytes { bytes in
        unsafe control.withUnsafeMutableBytes { control in
          var vector = unsafe iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
          return unsafe withUnsafeMutablePointer(to: &vector) { vector in
            var message = unsafe msghdr()
            unsafe message.msg_iov = vector
            unsafe message.msg_iovlen = 1
            if !descriptors.isEmpty {
              unsafe message.msg_control = control.baseAddress
              unsafe message.msg_controllen = control.count
              unsafe clinux_put_descriptors(&message, descriptors, descriptors.count)
            }
            return unsafe sendmsg(number, &message, flags)
          }
        }
      }
    }
  }

  /// Takes the next packet.
  ///
  /// - Parameters:
  ///   - milliseconds: How long to wait at most: 0 not at all, -1 for ever.
  ///   - limit: The bytes of the longest packet that is expected; the rest of a longer one is lost.
  /// - Throws: `SystemError`; a closed connection is no error.
  public func receive(milliseconds: Int32 = -1, limit: Int = PacketSocket.largestPacket) throws(SystemError) -> Reception {
    if milliseconds >= 0, !isReadable(within: milliseconds) { return .nothing }
    let number = descriptor.number
    var control = [UInt8](repeating: 0, count: clinux_control_space(PacketSocket.mostDescriptors))
    var taken = [Int32](repeating: -1, count: PacketSocket.mostDescriptors)
    var count = 0
    var failure: SystemError?
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: limit) { buffer, filled in
      var vector = unsafe iovec(iov_base: buffer.baseAddress, iov_len: buffer.count)
      do throws(SystemError) {
        filled = try retrying("receive from another process") {
          unsafe control.withUnsafeMutableBytes { control in
            unsafe withUnsafeMutablePointer(to: &vector) { vector in
              var message = unsafe msghdr()
              unsafe message.msg_iov = vector
              unsafe message.msg_iovlen = 1
              unsafe message.msg_control = control.baseAddress
              unsafe message.msg_controllen = control.count
              let length = unsafe recvmsg(number, &message, Int32(MSG_CMSG_CLOEXEC))
              if length >= 0 { count = unsafe clinux_take_descriptors(&message, &taken, taken.count) }
              return length
            }
          }
        }
      } catch { failure = error }
    }
    let descriptors = taken.prefix(count).map { DescriptorBox(OwnedDescriptor(owning: $0)) }
    if let failure {
      guard failure.code == ECONNRESET else { throw failure }
      return .closed
    }
    return bytes.isEmpty ? .closed : .packet(Packet(bytes: bytes, descriptors: descriptors))
  }

  private func isReadable(within milliseconds: Int32) -> Bool {
    let deadline = monotonicNanoseconds() + UInt64(milliseconds) * 1_000_000
    while true {
      var watched = pollfd(fd: descriptor.number, events: Int16(POLLIN), revents: 0)
      let now = monotonicNanoseconds()
      let rest = deadline > now ? Int32(clamping: (deadline - now + 999_999) / 1_000_000) : 0
      let count = unsafe poll(&watched, 1, rest)
      if count > 0 { return true }
      // A signal is no reason to wait for less.
      if count == 0 || errno != EINTR { return false }
    }
  }
}
