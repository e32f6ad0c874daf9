import Glibc

/// Sockets between guest and host, with the stock driver: by our own device, and by the host's kernel, in the same tests.
let vsockTests: [GuestTest] =
  VsockWay.allCases.flatMap { way in
    [
      GuestTest("vsock (\(way)): 256 MiB, or 1 GiB, go to the host and come back, and each byte is right") { environment in
        let mebibytes = environment.isThorough ? 1024 : 256
        try way.run(environment) { bench in
          let server = try bench.host("serve-pump", bench.hostListens(1000), "\(mebibytes)")
          try expect(server.waits(for: "ready"), "a server on the host")
          let client = try bench.start("perl /dev/vdb pump vsock:2:1000 \(mebibytes)")
          let run = bench.finish(client)
          let words = server.end()
          try expect(run.output.contains("received=\(mebibytes * 16) bad=0 left=0"), "all from the host", in: run)
          try expect(words.contains("received=\(mebibytes * 16) bad=0 left=0"), "all from the guest, not \(words)", in: run)
          print("note: vsock (\(way)): host: \(words.filter { !$0.isNewline }); guest: \(run.lines.filter { $0.contains("rate=") })")
        }
      },
      GuestTest("vsock (\(way)): round trips, begun by the host and by the guest") { environment in
        try way.run(environment) { bench in
          let server = try bench.host("echo", bench.hostListens(1001))
          try expect(server.waits(for: "ready"), "a server on the host")
          let guest = try bench.start("perl /dev/vdb ask vsock:2:1001 2000; perl /dev/vdb echo vsock:4294967295:70 & wait")
          try expect(guest.waitForOutput("ready", seconds: 200), "a server in the guest")
          let asked = try bench.host("ask", bench.guestListens(70), "2000").end()
          let run = guest.end(SIGTERM)
          _ = server.end(SIGKILL)
          try expect(run.output.contains("asked=2000"), "2000 answers from the host", in: run)
          try expect(asked.contains("asked=2000"), "2000 answers from the guest, not \(asked)", in: run)
          print("note: vsock (\(way)): \(asked.filter { !$0.isNewline }); guest: \(run.lines.filter { $0.contains("trip=") })")
        }
      },
      GuestTest("vsock (\(way)): 1000 connections, or 5000, at once from each side") { environment in
        let crowd = environment.isThorough ? 5000 : 1000
        try way.run(environment) { bench in
          let server = try bench.host("serve-crowd", bench.hostListens(1002), "\(crowd)")
          try expect(server.waits(for: "ready"), "a server on the host")
          let guest = try bench.start(
            "ulimit -n 9000; perl /dev/vdb crowd vsock:2:1002 \(crowd); perl /dev/vdb serve-crowd vsock:4294967295:71 \(crowd)")
          try expect(guest.waitForOutput("ready", seconds: 300), "a server in the guest")
          let peer = try bench.host("crowd", bench.guestListens(71), "\(crowd)")
          let memory = Result { if peer.waits(for: "open="), way == .ours { try environment.expectLittleMemory(of: "vsock") } }
          let clients = peer.end()
          let run = guest.end(nil, seconds: 200)
          let words = server.end()
          try memory.get()
          try expect(run.output.contains("crowd=\(crowd)"), "\(crowd) connections of the guest", in: run)
          try expect(words.contains("all=\(crowd)") && words.contains("over=1"), "all of them at once, not \(words)", in: run)
          try expect(clients.contains("crowd=\(crowd)"), "\(crowd) connections of the host, not \(clients)", in: run)
        }
      },
      GuestTest("vsock (\(way)): who does not read slows its own connection only, and gets every byte in the end") { environment in
        try way.run(environment) { bench in
          let server = try bench.host("serve-slow", bench.hostListens(1003))
          try expect(server.waits(for: "ready"), "a server on the host")
          let guest = try bench.start("perl /dev/vdb slow vsock:2:1003; perl /dev/vdb serve-slow vsock:4294967295:72")
          try expect(guest.waitForOutput("ready", seconds: 200), "a server in the guest")
          let slow = try bench.host("slow", bench.guestListens(72)).end()
          let run = guest.end(nil, seconds: 200)
          let words = server.end()
          func number(_ name: String, _ text: String) -> String? {
            text.split(whereSeparator: \.isWhitespace).last { $0.hasPrefix(name) }.map { String($0.dropFirst(name.count)) }
          }
          try expect(run.output.contains("trips=50") && slow.contains("trips=50"), "a second connection that goes on: \(slow)", in: run)
          try expect(
            number("got=", words) != nil && number("got=", words) == number("sent=", run.output), "each byte of the guest: \(words)",
            in: run)
          try expect(
            number("got=", run.output) != nil && number("got=", run.output) == number("sent=", slow), "each byte of the host: \(slow)",
            in: run)
        }
      },
      GuestTest("vsock (\(way)): a peer that is killed, and a driver that goes and comes back") { environment in
        try way.run(environment) { bench in
          let first = try bench.host("serve-hang", bench.hostListens(1004))
          let second = try bench.host("serve-hang", bench.hostListens(1005))
          let third = try bench.host("serve-hang", bench.hostListens(1006))
          let last = try bench.host("echo", bench.hostListens(1007))
          for server in [first, second, third, last] { try expect(server.waits(for: "ready"), "a server on the host") }
          let script = """
            perl /dev/vdb hang vsock:2:1004
            perl /dev/vdb hang vsock:2:1005 & sleep 2; kill -9 $!; wait
            perl /dev/vdb hang vsock:2:1006 & sleep 2
            cd /sys/bus/virtio/drivers/vmw_vsock_virtio_transport; device=$(ls -d virtio*); echo $device >unbind; echo $device >bind; wait; cd /
            perl /dev/vdb ask vsock:2:1007 20; echo nobody=$(perl /dev/vdb hang vsock:2:1099 2>&1 | grep -c 'connect: Connection reset')
            """
          let guest = try bench.start(script)
          try expect(first.waits(for: "heard here"), "a client of the guest")
          _ = first.end(SIGKILL)
          let secondEnd = second.waits(for: "ended=", seconds: 200)
          let thirdEnd = third.waits(for: "ended=", seconds: 200)
          let run = guest.end(nil, seconds: 200)
          for server in [second, third] { _ = server.end() }
          _ = last.end(SIGKILL)
          try expect(run.output.contains("ended="), "a guest that hears of the end of its peer", in: run)
          try expect(secondEnd && thirdEnd, "servers that hear of the ends of theirs: \(secondEnd), \(thirdEnd)", in: run)
          try expect(run.output.contains("asked=20"), "a device that works with the next driver", in: run)
          try expect(run.value("nobody") == "1", "a reset where nobody listens", in: run)
        }
      },
      GuestTest("vsock (\(way)): 40 turns of suspend and resume under traffic lose no byte") { environment in
        try way.run(environment) { bench in
          let server = try bench.host("serve-pumps", bench.hostListens(1009), "4")
          try expect(server.waits(for: "ready"), "a server on the host")
          let script =
            waitForButton + """

              rounds=0; until [ -e $pressed ]; do
                perl /dev/vdb pump vsock:2:1009 4 >/tmp/o 2>&1; grep -q 'received=64 bad=0 left=0' /tmp/o || { echo BAD; cat /tmp/o; }
                rounds=$((rounds + 1)); [ $rounds = 1 ] && echo READY
              done; echo rounds=$rounds
              """
          let guest = try bench.steer(script)
          try expect(guest.running.waitForOutput("READY", seconds: 200), "a guest with traffic")
          var refusals: [String] = []
          for _ in 0..<40 { refusals += try [guest.ask("suspend"), guest.ask("resume")].compactMap(\.self) }
          if let refusal = try guest.ask("powerbtn") { refusals.append(refusal) }
          let run = guest.running.end(nil, seconds: 200)
          _ = server.end(SIGKILL)
          try expect(refusals.isEmpty, "all turns to work, not \(refusals)", in: run)
          try expect(!run.output.contains("BAD") && run.value("rounds").flatMap { Int($0) } ?? 0 > 1, "every byte in each round", in: run)
        }
      },
      GuestTest("vsock (\(way)): sequenced packets keep their borders") { environment in
        try way.run(environment) { bench in
          let server = try bench.host("serve-packets", bench.hostListens(1008), sequenced: true)
          try expect(server.waits(for: "ready"), "a server on the host")
          let guest = try bench.start(
            "export KIND=5; perl /dev/vdb packets vsock:2:1008; perl /dev/vdb serve-packets vsock:4294967295:73")
          try expect(guest.waitForOutput("ready", seconds: 200), "a server in the guest")
          let packets = try bench.host("packets", bench.guestListens(73, sequenced: true), sequenced: true).end()
          let run = guest.end(nil, seconds: 200)
          _ = server.end()
          try expect(run.output.contains("packets=4"), "messages of the guest", in: run)
          try expect(packets.contains("packets=4"), "messages of the host, not \(packets)", in: run)
        }
      },
    ]
  } + vsockUsageTests

/// What is said where a device cannot be had.
private let vsockUsageTests: [GuestTest] = [
  GuestTest("vsock: a context identifier that another machine has is refused, and so is a socket; killed machines leave none") {
    environment in
    let socket = environment.scratchFile("v")
    let first = try Guest(options: ["--cid", "77"], script: "echo up; sleep 300").start(environment)
    let other = try Guest(options: ["--vsock", "cid=78,socket=\(socket)"], script: "echo up; sleep 300").start(environment)
    let areUp = first.waitForOutput("up", seconds: 200) && other.waitForOutput("up", seconds: 200)
    let second = try Guest(options: ["--cid", "77"], script: "true").start(environment).end(nil, seconds: 60)
    let third = try Guest(options: ["--vsock", "cid=79,socket=\(socket)"], script: "true").start(environment).end(nil, seconds: 60)
    _ = first.end(SIGTERM)
    let wasThere = unsafe access(socket, F_OK) == 0
    let killed = other.end(SIGKILL)
    let deadline = Child.now() + 10
    while unsafe access(socket, F_OK) == 0, Child.now() < deadline { usleep(50_000) }
    try expect(areUp && wasThere, "two machines", in: killed)
    try expect(second.errors.contains("another machine of this host has the context identifier 77"), "a refusal", in: second)
    try expect(third.errors.contains("somebody listens at the socket \(socket)"), "a refusal", in: third)
    let isLeft = unsafe access(socket, F_OK) == 0 || access(socket + ".seqpacket", F_OK) == 0
    // Without the sandbox there is nobody to take them away; the next machine replaces them.
    try expect(!isLeft || !environment.isSandboxed, "no sockets after the end", in: killed)
    unsafe _ = unlink(socket)
    unsafe _ = unlink(socket + ".seqpacket")
  }
]

/// Who connects the sockets.
enum VsockWay: CaseIterable, CustomStringConvertible {
  case ours
  case kernel

  var description: String { self == .ours ? "ours" : "vhost" }

  /// Lets `body` play, with files of its own.
  func run(_ environment: TestEnvironment, _ body: (VsockBench) throws -> Void) throws {
    let bench = try VsockBench(way: self, environment)
    defer { bench.cleanUp() }
    try body(bench)
  }
}

/// A machine with sockets, and programs of the host.
final class VsockBench {
  private let way: VsockWay
  private let environment: TestEnvironment
  private let program: String
  private let socket: String
  private let context: Int

  init(way: VsockWay, _ environment: TestEnvironment) throws {
    self.way = way
    self.environment = environment
    program = environment.scratchFile("peer")
    socket = environment.scratchFile("v")
    context = 1000 + Int.random(in: 0..<1_000_000)
    try VsockPeer.write(to: program)
  }

  func cleanUp() {
    unsafe _ = unlink(program)
    for port in 1000...1010 { unsafe _ = unlink("\(socket)_\(port)") }
    for suffix in ["", ".seqpacket"] { unsafe _ = unlink(socket + suffix) }
  }

  /// Where a program of the host listens for the guest's connections to a port.
  func hostListens(_ port: Int) -> String { way == .ours ? "unix:\(socket)_\(port)" : "vsock:4294967295:\(port)" }

  /// Where a program of the host connects to a port of the guest.
  func guestListens(_ port: Int, sequenced: Bool = false) -> String {
    way == .ours ? "connect:\(socket)\(sequenced ? ".seqpacket" : ""):\(port)" : "vsock:\(context):\(port)"
  }

  /// Starts a program of the host.
  func host(_ words: String..., sequenced: Bool = false) throws -> VsockHostPeer {
    try VsockHostPeer(program, words, sequenced: sequenced, environment)
  }

  /// Boots the guest.
  func start(_ script: String) throws -> RunningGuest { try guest(script).start(environment) }

  /// Boots the guest, with a control socket.
  func steer(_ script: String) throws -> SteeredGuest { try SteeredGuest(guest(script), environment) }

  private func guest(_ script: String) -> Guest {
    let vsock = way == .ours ? "cid=\(context),socket=\(socket)" : "cid=\(context)"
    return Guest(
      options: ["-m", "512", "-r", environment.file("root.squashfs"), "--disk", program, "--vsock", vsock],
      script: "modprobe vmw_vsock_virtio_transport\n" + script)
  }

  /// Waits for the guest's end.
  func finish(_ guest: RunningGuest) -> GuestRun { guest.end(nil, seconds: 400) }
}
