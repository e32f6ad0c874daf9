internal import CLinux
internal import Glibc

/// Writes to a pipe, terminal, file or stream socket.
struct DescriptorDrain: ByteDrain {
  private let descriptor: Int32
  private let owner: Owner
  private let largestWrite: Int

  /// Holds the descriptor open for as long as the drain lives.
  private final class Owner {
    let descriptor: OwnedDescriptor
    init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
  }

  init(_ descriptor: consuming OwnedDescriptor) {
    self.descriptor = descriptor.number
    var status = stat()
    let isFile = unsafe fstat(descriptor.number, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    // A pipe that poll(2) calls writable takes one page without blocking (pipe(7)); a file takes everything.
    largestWrite = isFile ? Int.max : 4096
    owner = Owner(descriptor)
  }

  mutating func write(_ bytes: [UInt8], for buffer: OutputBuffer) throws(SystemError) {
    var written = 0
    while written < bytes.count {
      guard buffer.waitWritable(descriptor) else { return }
      let count = min(bytes.count - written, largestWrite)
      // In bounds: written + count <= bytes.count.
      let result = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress?.advanced(by: written), count) }
      if result >= 0 {
        written += result
      } else if errno != EINTR && errno != EAGAIN {
        throw SystemError.last("write the guest's output")
      }
    }
  }
}

/// Sends each batch as messages to a datagram socket; a receiver that comes back is found again.
struct DatagramDrain: ByteDrain {
  private let socket: Int32
  private let owner: Owner
  /// Where it is found again; `nil` where it cannot be.
  private let path: String?
  private static let largestMessage = 4096

  private final class Owner {
    let descriptor: OwnedDescriptor
    init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
  }

  init(_ descriptor: consuming OwnedDescriptor, path: String?) {
    socket = descriptor.number
    owner = Owner(descriptor)
    self.path = path
  }

  mutating func write(_ bytes: [UInt8], for buffer: OutputBuffer) throws(SystemError) {
    var sent = 0
    while sent < bytes.count {
      guard buffer.waitWritable(socket) else { return }
      let count = min(bytes.count - sent, DatagramDrain.largestMessage)
      try send(bytes, from: sent, count: count)
      sent += count
    }
  }

  private func send(_ bytes: [UInt8], from offset: Int, count: Int) throws(SystemError) {
    var reconnected = false
    while true {
      // In bounds: the caller checked offset + count <= bytes.count.
      let result = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.send(socket, $0.baseAddress?.advanced(by: offset), count, Int32(MSG_NOSIGNAL))
      }
      if result >= 0 { return }
      let code = errno
      if code == EINTR { continue }
      guard code == ECONNREFUSED || code == ENOTCONN || code == ECONNRESET, !reconnected, let path else {
        throw SystemError("send the guest's output\(path.map { " to \($0)" } ?? "")", code: code)
      }
      try UnixSocket.connect(socket, to: path)
      reconnected = true
    }
  }
}
