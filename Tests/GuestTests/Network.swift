import CLinux
import Glibc
import Platform
import Synchronization

/// A tap of the host with an address in a network of its own, gone with the value.
final class HostTap {
  /// The tap's name.
  let name: String
  /// The interface that has the host's addresses.
  private(set) var host: String
  private var interfaces: [String]
  private let scratch: String

  /// The host's address, and the guest's.
  static let addresses = (host: "10.77.0.1", guest: "10.77.0.2")

  /// What a guest does first.
  static let setUp = """
    modprobe virtio_net; ip link set lo up
    up() { ip link set eth0 up; ip address add 10.77.0.2/24 dev eth0; ip address add fd77::2/64 dev eth0 nodad; }
    up

    """

  /// Makes a tap.
  ///
  /// - Parameters:
  ///   - mode: Further words for `ip tuntap add`.
  ///   - isUp: Whether it is set up, too.
  ///   - behindBridge: Whether the host's address is behind a bridge and a cable whose ends fill in checksums and cut segments themselves.
  init(_ environment: TestEnvironment, mode: [String] = [], mtu: Int = 1500, behindBridge: Bool = false, isUp: Bool = true)
    throws
  {
    let number = Int.random(in: 0..<10000)
    (name, host) = ("tap\(number)", "tap\(number)")
    (interfaces, scratch) = ([name], environment.scratch)
    try run(["ip", "tuntap", "add", name, "mode", "tap"] + mode)
    try run(["ip", "link", "set", name, "mtu", "\(mtu)", isUp ? "up" : "down"])
    if behindBridge { try addBridge(number) }
    try run(["ip", "address", "add", HostTap.addresses.host + "/24", "dev", host])
    try run(["ip", "address", "add", "fd77::1/64", "dev", host, "nodad"])
  }

  private func addBridge(_ number: Int) throws {
    let (bridge, near, far) = ("br\(number)", "near\(number)", "far\(number)")
    interfaces += [bridge, near]
    try run(["ip", "link", "add", bridge, "type", "bridge"])
    try run(["ip", "link", "add", near, "type", "veth", "peer", "name", far])
    for end in [near, far] { try run(["ethtool", "-K", end, "tx", "off", "tso", "off", "gso", "off"]) }
    for port in [name, near] { try run(["ip", "link", "set", port, "master", bridge]) }
    for interface in [bridge, near, far] { try run(["ip", "link", "set", interface, "up"]) }
    // Else the bridge answers for the address behind it, and what the guest sends over IPv4 never comes by the cable.
    try Child.write("1\n", to: "/proc/sys/net/ipv4/conf/\(bridge)/arp_ignore")
    host = far
  }

  deinit { delete() }

  /// Takes the tap away, from whoever uses it.
  func delete() {
    for interface in interfaces { try? run(["ip", "link", "delete", interface]) }
    interfaces = []
  }

  private func run(_ command: [String]) throws {
    let run = try Child.run(command, input: "", seconds: 60, directory: scratch)
    try expect(run.status == 0, "an interface of the host", in: run)
  }

  /// Opens a queue of the tap as a program that hands it to crosvm does: the descriptor is inherited.
  ///
  /// - Parameter flags: How: as it should be, by default.
  func openQueue(_ flags: Int32 = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR) throws -> Int32 {
    let number = unsafe open("/dev/net/tun", O_RDWR)
    var buffer = name.utf8.map { CChar(bitPattern: $0) } + [CChar](repeating: 0, count: 16)
    let flags = Int16(truncatingIfNeeded: flags)
    guard number >= 0, unsafe clinux_tun_attach(number, &buffer, flags) == 0 else {
      throw Disappointment(description: "a queue of the tap: \(SystemError.last("open"))")
    }
    return number
  }
}

/// A program of the host that runs until the value goes.
final class HostProgram {
  private let process: pid_t
  private let streams: [String]

  init(_ command: [String], _ environment: TestEnvironment) throws {
    streams = ["in", "out", "err"].map { environment.scratchFile($0) }
    try Child.write("", to: streams[0])
    process = try Child.start(command, streams: streams)
  }

  /// What it has said so far.
  var output: String { Child.read(streams[1]) + Child.read(streams[2]) }

  /// Whether it says a text within some seconds.
  func waits(for text: String, seconds: Int) -> Bool {
    let deadline = Child.now() + Double(seconds)
    while !output.contains(text) {
      if Child.now() > deadline { return false }
      usleep(50_000)
    }
    return true
  }

  deinit {
    kill(process, SIGKILL)
    _ = Child.wait(for: process, seconds: 10)
    for path in streams { unsafe _ = unlink(path) }
  }

  /// The names of the host's processes, and threads of its kernel, that begin so.
  static func names(startingWith start: String) -> [String] {
    Child.entries(of: "/proc").map { Child.read("/proc/\($0)/comm") }.filter { $0.hasPrefix(start) }
  }

  /// A server of iperf3 that listens.
  static func iperf(_ environment: TestEnvironment) throws -> HostProgram {
    let server = try HostProgram(["iperf3", "-s", "--forceflush"], environment)
    guard server.waits(for: "listening", seconds: 30) else { throw Disappointment(description: "an iperf3 server: \(server.output)") }
    return server
  }
}

/// Answers each connection with a line or a file, and closes it.
final class LineServer {
  private let socket: Int32
  private let thread: PThread
  private let served = Shared()
  /// Where it listens.
  let port: UInt16

  private final class Shared: Sendable {
    let count = Atomic<Int>(0)
  }

  /// How many connections were answered.
  var count: Int { served.count.load(ordering: .relaxed) }

  /// A server of a line, at all addresses of the host.
  convenience init() throws { try self.init(answer: Array("line\n".utf8), isWeb: false, address: 0) }

  /// A server of the web that gives one file, whatever it is asked for, at the host's loopback address only (RFC 1945).
  convenience init(file: [UInt8]) throws {
    let head = "HTTP/1.0 200 OK\r\nContent-Length: \(file.count)\r\n\r\n"
    try self.init(answer: Array(head.utf8) + file, isWeb: true, address: 0x7f00_0001)
  }

  /// - Parameters:
  ///   - isWeb: Whether a request comes first, which ends with an empty line.
  ///   - address: Where to listen; 0 for all addresses.
  private init(answer: [UInt8], isWeb: Bool, address wanted: UInt32) throws {
    socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = wanted.bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let (socket, served) = (socket, served)
    let code = unsafe withUnsafeMutablePointer(to: &address) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bound in
        unsafe bind(socket, bound, length) == 0 && listen(socket, 128) == 0 ? getsockname(socket, bound, &length) : -1
      }
    }
    guard code == 0 else { throw Disappointment(description: "a server: \(SystemError.last("bind"))") }
    port = UInt16(bigEndian: address.sin_port)
    thread = try PThread(name: "line server") {
      while true {
        let connection = accept(socket, nil, nil)
        if connection < 0 { return }
        if isWeb { LineServer.skipRequest(connection) }
        LineServer.send(answer, to: connection)
        close(connection)
        served.count.add(1, ordering: .relaxed)
      }
    }
  }

  private static func skipRequest(_ connection: Int32) {
    var request: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 1024)
    while !String(decoding: request, as: UTF8.self).contains("\r\n\r\n") {
      let count = unsafe read(connection, &piece, piece.count)
      guard count > 0 else { return }
      request += piece.prefix(count)
    }
  }

  /// Sends all, unless the peer goes, which is no signal.
  private static func send(_ bytes: [UInt8], to connection: Int32) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = unsafe rest.withUnsafeBytes { unsafe Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }

  deinit {
    shutdown(socket, Int32(SHUT_RDWR))
    thread.join()
    close(socket)
  }
}

/// What is looked at in several tests of networks.
enum Traffic {
  /// How many datagrams came of those that were sent, as a line of iperf3 says it: "... 3/430 (0.7%)  receiver" are those that were lost.
  static func arrived(_ line: some StringProtocol) -> (came: Int, sent: Int)? {
    guard let word = line.split(separator: " ").first(where: { $0.contains("/") && $0.allSatisfy { $0.isNumber || $0 == "/" } }) else {
      return nil
    }
    let counts = word.split(separator: "/").compactMap { Int($0) }
    return counts.count == 2 ? (counts[1] - counts[0], counts[1]) : nil
  }

  /// Fails unless a line of iperf3 tells of as many datagrams as a second of a low rate has, and most of them came.
  static func expectDatagrams(_ name: String, in run: GuestRun) throws {
    let line = run.lines.last { $0.hasPrefix(name) } ?? ""
    let counts = arrived(line)
    try expect(counts.map { $0.sent >= 100 && 2 * $0.came >= $0.sent } ?? false, "most datagrams to come, not '\(line)'", in: run)
  }
}

extension TestEnvironment {
  /// The most memory of its own that a device's process may have, in KiB, whatever the guest and its peers do.
  static let memoryLimit = 64 << 10

  /// Fails where a device's process has more memory of its own than it may; the guest's is not counted.
  ///
  /// - Parameter name: How the names of the processes begin.
  func expectLittleMemory(of name: String) throws {
    guard isSandboxed else { return }
    let processes = Child.entries(of: "/proc").filter { Child.read("/proc/\($0)/comm").hasPrefix(name) }
    let sizes = processes.compactMap { process in
      Child.read("/proc/\(process)/status").split(separator: "\n").first { $0.hasPrefix("RssAnon:") }
        .flatMap { $0.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }.first }
    }
    try expect(!sizes.isEmpty, "a process \(name)")
    try expect(sizes.allSatisfy { $0 <= Self.memoryLimit }, "little memory of \(name), not \(sizes) KiB")
    print("note: memory of \(name): \(sizes) KiB")
  }
}
