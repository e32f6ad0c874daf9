internal import CLinux
internal import Glibc
public import Platform

/// A socket of a host program, whose waits end after ten seconds.
public final class HostProgram: Sendable {
  private let descriptor: OwnedDescriptor

  /// Takes a socket.
  public init(_ descriptor: consuming OwnedDescriptor) {
    HostProgram.limitWaits(of: descriptor.number)
    self.descriptor = descriptor
  }

  private static func limitWaits(of descriptor: Int32) {
    var time = timeval(tv_sec: 10, tv_usec: 0)
    for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
      _ = unsafe setsockopt(descriptor, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
    }
  }

  /// Connects to a socket.
  public convenience init(path: String, kind: UnixSocket.Kind = .stream) throws {
    self.init(try UnixSocket.connect(to: path, kind: kind))
  }

  /// Accepts the next connection of a listening socket.
  public static func accept(from listener: borrowing OwnedDescriptor) throws -> HostProgram {
    limitWaits(of: listener.number)
    return HostProgram(try UnixSocket.accept(from: listener.number))
  }

  /// Sends all of it.
  public func write(_ bytes: [UInt8]) throws {
    var done = 0
    while done < bytes.count {
      let rest = Array(bytes[done...])
      let number = descriptor.number
      done += try retrying("send") { unsafe send(number, rest, rest.count, Int32(MSG_NOSIGNAL)) }
    }
  }

  /// Sends a text.
  public func write(_ text: String) throws { try write(Array(text.utf8)) }

  /// Sends as much as there is room for now.
  public func writeNow(_ bytes: [UInt8]) -> Int {
    max(0, unsafe send(descriptor.number, bytes, bytes.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT)))
  }

  /// The next bytes or message, at most `limit` bytes; empty at the end.
  public func readSome(_ limit: Int = 1 << 20) throws -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: limit)
    let number = descriptor.number
    let count = try retrying("receive") { unsafe recv(number, &buffer, buffer.count, 0) }
    return Array(buffer[..<count])
  }

  /// So many bytes, or fewer at the end.
  public func read(_ count: Int) throws -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      let some = try readSome(count - bytes.count)
      if some.isEmpty { break }
      bytes += some
    }
    return bytes
  }

  /// All bytes up to the end.
  public func readToEnd() throws -> [UInt8] {
    var bytes: [UInt8] = []
    while true {
      let some = try readSome()
      if some.isEmpty { return bytes }
      bytes += some
    }
  }

  /// A line, with its end.
  public func readLine() throws -> String {
    var bytes: [UInt8] = []
    while bytes.last != UInt8(ascii: "\n") {
      let byte = try readSome(1)
      if byte.isEmpty { break }
      bytes += byte
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Sends no more.
  public func endWriting() { _ = shutdown(descriptor.number, Int32(SHUT_WR)) }
}
