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
  ///   - behindBridge: Whether the host's address is behind a bridge and a cable whose ends fill in checksums and cut segments themselves.
  init(_ environment: TestEnvironment, mode: [String] = [], mtu: Int = 1500, behindBridge: Bool = false) throws {
    let number = Int.random(in: 0..<10000)
    (name, host) = ("tap\(number)", "tap\(number)")
    (interfaces, scratch) = ([name], environment.scratch)
    try run(["ip", "tuntap", "add", name, "mode", "tap"] + mode)
    try run(["ip", "link", "set", name, "mtu", "\(mtu)", "up"])
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
    host = far
  }

  deinit { for interface in interfaces { try? run(["ip", "link", "delete", interface]) } }

  private func run(_ command: [String]) throws {
    let run = try Child.run(command, input: "", seconds: 60, directory: scratch)
    try expect(run.status == 0, "an interface of the host", in: run)
  }

  /// Opens a queue of the tap as a program that hands it to crosvm does: the descriptor is inherited.
  func openQueue() throws -> Int32 {
    let number = unsafe open("/dev/net/tun", O_RDWR)
    var buffer = name.utf8.map { CChar(bitPattern: $0) } + [CChar](repeating: 0, count: 16)
    let flags = Int16(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)
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

/// Answers each connection with a line, and closes it.
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

  init() throws {
    socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
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
        unsafe _ = write(connection, "line\n", 5)
        close(connection)
        served.count.add(1, ordering: .relaxed)
      }
    }
  }

  deinit {
    shutdown(socket, Int32(SHUT_RDWR))
    thread.join()
    close(socket)
  }
}
