internal import CLinux
internal import Glibc
internal import Platform

/// A connected Unix socket of the host, which no transfer waits for; closes when it is forgotten.
final class HostSocket: Sendable {
  /// How a transfer went.
  enum Transfer: Equatable {
    /// So many bytes went over, at least one.
    case bytes(Int)
    /// Nothing can go over now; the event loop tells when.
    case wouldBlock
    /// The other end sends no more.
    case ended
    /// The other end is gone, or the socket failed.
    case failed(Int32)
  }

  private let descriptor: OwnedDescriptor

  /// Takes a socket.
  init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// The descriptor, lent.
  var number: Int32 { descriptor.number }

  /// Reads bytes straight into guest memory.
  func receive(_ vectors: borrowing GuestVectors) -> Transfer {
    let number = descriptor.number
    let transfer = HostSocket.transfer { unsafe vectors.withMessage { unsafe recvmsg(number, $0, Int32(MSG_DONTWAIT)) } }
    if case .bytes = transfer { vectors.markWritten() }
    return transfer
  }

  /// Sends bytes straight from guest memory; one message where the socket has messages.
  func send(_ vectors: borrowing GuestVectors) -> Transfer {
    let number = descriptor.number
    return HostSocket.transfer { unsafe vectors.withMessage { unsafe sendmsg(number, $0, HostSocket.sendFlags) } }
  }

  /// Sends bytes; one message where the socket has messages.
  func send(_ bytes: UnsafeRawBufferPointer) -> Transfer {
    let number = descriptor.number
    return HostSocket.transfer {
      unsafe HostSocket.withMessage(UnsafeMutableRawBufferPointer(mutating: bytes)) { unsafe sendmsg(number, $0, HostSocket.sendFlags) }
    }
  }

  /// Sends bytes; one message where the socket has messages.
  func send(_ bytes: [UInt8]) -> Transfer { unsafe bytes.withUnsafeBytes { unsafe send($0) } }

  /// Takes bytes or a message, or with `peeks` looks at them.
  ///
  /// - Returns: The transfer, and the whole length of a message of which only the first `count` bytes were asked for.
  func receive(_ count: Int, peeks: Bool = false) -> (Transfer, [UInt8]) {
    let number = descriptor.number
    let flags = Int32(MSG_DONTWAIT | MSG_TRUNC) | (peeks ? Int32(MSG_PEEK) : 0)
    var transfer = Transfer.wouldBlock
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      transfer = HostSocket.transfer {
        unsafe HostSocket.withMessage(UnsafeMutableRawBufferPointer(buffer)) { unsafe recvmsg(number, $0, flags) }
      }
      // The kernel wrote so many, at most what there is room for.
      if case .bytes(let length) = transfer { filled = min(length, count) }
    }
    return (transfer, bytes)
  }

  /// How many bytes can be read now; an estimate, at least 0.
  var readable: Int {
    var count: Int32 = 0
    let code = unsafe clinux_ioctl_pointer(descriptor.number, UInt(FIONREAD), &count)
    return code < 0 ? 0 : max(0, Int(count))
  }

  /// Ends one direction: nothing more is sent, or received.
  func shutDown(_ direction: Direction) { _ = Glibc.shutdown(descriptor.number, Int32(direction == .sending ? SHUT_WR : SHUT_RD)) }

  enum Direction { case sending, receiving }

  /// Takes the messages that nobody will read, and no more of them. A sequenced socket that is closed with such makes the other end's next
  /// read fail before it gives what was sent there (unix(7), ECONNRESET).
  func discardMessages() {
    shutDown(.receiving)
    // An empty one looks like the end. Nothing comes any more; bounded all the same, should the kernel go on to refuse.
    for _ in 0..<(1 << 16) {
      if case .bytes = receive(0).0 { continue }
      if readable == 0 { return }
    }
  }

  /// Waits until bytes can be sent.
  func waitForRoom(milliseconds: Int32) {
    var watched = pollfd(fd: descriptor.number, events: Int16(POLLOUT), revents: 0)
    _ = unsafe poll(&watched, 1, milliseconds)
  }

  private static let sendFlags = Int32(MSG_DONTWAIT | MSG_NOSIGNAL)

  private static func withMessage(_ bytes: UnsafeMutableRawBufferPointer, _ body: (UnsafeMutablePointer<msghdr>) -> Int) -> Int {
    var vector = unsafe iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
    return unsafe withUnsafeMutablePointer(to: &vector) { vector in
      var message = unsafe msghdr()
      unsafe message.msg_iov = vector
      unsafe message.msg_iovlen = 1
      return unsafe body(&message)
    }
  }

  private static func transfer(_ call: () -> Int) -> Transfer {
    while true {
      let count = call()
      if count > 0 { return .bytes(count) }
      if count == 0 { return .ended }
      switch errno {
      case EINTR: continue
      case EAGAIN: return .wouldBlock
      case let code: return .failed(code)
      }
    }
  }
}
