import CLinux
import Glibc
import Platform

/// An interface of the host with a default route that leads nowhere: what passt takes the guest's addresses from.
final class Uplink {
  /// The host's addresses, which become the guest's, and those of its gateway, behind which the guest finds the host's loopback.
  static let (host, gateway, host6, gateway6) = ("10.88.0.2", "10.88.0.1", "fd88::2", "fd88::1")

  private let scratch: String

  init(_ environment: TestEnvironment) throws {
    scratch = environment.scratch
    for words in [
      "link add uplink type dummy", "link set uplink up", "address add \(Uplink.host)/24 dev uplink",
      "address add \(Uplink.host6)/64 dev uplink nodad", "route add default via \(Uplink.gateway) dev uplink",
      "-6 route add default via \(Uplink.gateway6) dev uplink",
    ] {
      let run = try Child.run(["ip"] + words.split(separator: " ").map(String.init), input: "", seconds: 60, directory: scratch)
      try expect(run.status == 0, "an interface of the host", in: run)
    }
    try Child.write("nameserver 127.0.0.1\n", to: "/etc/resolv.conf")
  }

  deinit { _ = try? Child.run(["ip", "link", "delete", "uplink"], input: "", seconds: 60, directory: scratch) }
}

/// A name server on the host's loopback interface that knows one address for all names.
final class NameServer {
  /// What it answers.
  static let answer: [UInt8] = [10, 99, 88, 77]

  private let socket: Int32
  private let thread: PThread

  init() throws {
    socket = Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(53).bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let socket = socket
    let code = unsafe withUnsafePointer(to: &address) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe bind(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
    guard code == 0 else { throw Disappointment(description: "a name server: \(SystemError.last("bind"))") }
    thread = try PThread(name: "name server") {
      while NameServer.serve(socket) {}
    }
  }

  /// Answers one question (RFC 1035, section 4).
  private static func serve(_ socket: Int32) -> Bool {
    var bytes = [UInt8](repeating: 0, count: 512)
    var peer = sockaddr_in()
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    return unsafe withUnsafeMutablePointer(to: &peer) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { peer in
        let count = unsafe recvfrom(socket, &bytes, bytes.count, 0, peer, &length)
        guard count > 16 else { return count > 0 }
        // The question ends with its name's zero, the type and the class.
        guard let end = bytes[12..<count].firstIndex(of: 0), end + 5 <= count else { return true }
        let isAddress = bytes[end + 2] == 1
        let flags: [UInt8] = [0x81, 0x80, 0, 1, 0, isAddress ? 1 : 0, 0, 0, 0, 0]
        let record: [UInt8] = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4] + answer
        let reply = bytes[..<2] + flags + bytes[12..<end + 5] + (isAddress ? record : [])
        unsafe _ = sendto(socket, Array(reply), reply.count, 0, peer, length)
        return true
      }
    }
  }

  deinit {
    shutdown(socket, Int32(SHUT_RDWR))
    thread.join()
    close(socket)
  }
}
