import Glibc
import GuestMemory
import Logging
import Platform
import Testing
import Virtio
import VirtioTesting
import VsockTesting

@testable import VsockDevice

@Suite("Suspensions of the socket device", .serialized)
struct SuspensionTests {
  @Test("A clock that was stopped says the same all the while, and goes on from there")
  func clock() {
    let host = FakeTime()
    var clock = SteadyClock { host.now }
    host.now = 100
    #expect(clock.now == 100 && clock.hostTime(of: 150) == 150)
    for round in 0..<2 as Range<UInt64> {
      clock.stop()
      host.now += 1000
      clock.stop()
      #expect(clock.now == 100 + 7 * round)
      clock.start()
      clock.start()
      #expect(clock.now == 100 + 7 * round && clock.hostTime(of: clock.now) == host.now)
      host.now += 7
    }
    #expect(clock.now == 114)
  }

  private final class FakeTime {
    var now: UInt64 = 0
  }

  @Test("Who waits has as much time after a suspension as before: a guest to answer, a client to say where to")
  func deadlines() throws {
    let seconds: UInt64 = 2
    try withLimits({ limits in
      limits.patience = seconds * 1_000_000_000
      limits.greetingTime = seconds * 1_000_000_000
    }) { guest, path in
      let silent = try HostProgram(path: path)
      try silent.write("CONN")
      let program = try HostProgram(path: path)
      try program.write("CONNECT 52\n")
      let request = try guest.receive(Operation.request)
      guest.driver.device.suspend()
      usleep(UInt32(seconds * 1_100_000))
      guest.driver.device.resume()
      #expect(try guest.settle().isEmpty)
      try guest.send(guest.packet(Operation.response, from: 52, to: request.packet.sourcePort))
      #expect(try program.readLine() == "OK \(request.packet.sourcePort)\n")
      try silent.write("ECT 53\n")
      #expect(try guest.receive(Operation.request).packet.destinationPort == 53)
      // Nobody answers: the time goes on.
      #expect(try guest.receive(Operation.reset).packet.destinationPort == 53)
    }
  }

  @Test("An answer that lies in the ring counts, however late the thread looks")
  func lateThread() throws {
    let table = VsockSwitch(
      context: VsockGuest.context, listeners: [], connector: DirectConnector(prefix: "/nowhere/"),
      logger: Logger(label: "") { _ in SwiftLogNoOpLogHandler() })
    let host = FakeTime()
    table.clock = SteadyClock { host.now }
    let memory = try GuestMemory(regions: [(GuestAddress(0), 1 << 20)])
    let interrupt = try FakeInterrupt()
    let driver = try SplitDriver(
      size: 32, features: ActivatedDevice.usualFeatures, heap: GuestHeap(memory, base: 4096, count: 500 << 10))
    let queue = try VirtQueue(
      index: 1, configuration: driver.configuration, memory: memory, features: ActivatedDevice.usualFeatures, doorbell: EventFD(),
      interrupt: interrupt)
    table.rings = VsockRings([nil, queue])
    let key = VsockConnection.Key(hostPort: VsockSwitch.firstHostPort, guestPort: 52)
    let connection = table.add(key, kind: VsockPacket.Kind.stream, state: .requested)
    table.keep(connection, until: .first)
    host.now = 2 * table.limits.patience
    var packet = VsockPacket()
    packet.source = UInt64(VsockGuest.context)
    packet.destination = VsockPacket.hostContext
    (packet.sourcePort, packet.destinationPort) = (52, key.hostPort)
    (packet.kind, packet.operation) = (VsockPacket.Kind.stream, Operation.response)
    _ = try driver.submit(readable: [packet.bytes])
    _ = table.turn()
    #expect(connection.state == .established)
  }

  @Test("The guest has its whole time for the last word, also on a connection that it answered slowly")
  func lastWord() throws {
    try withLimits({ $0.patience = 1_000_000_000 }) { guest, path in
      // One that is not answered is before it in the list.
      let other = try HostProgram(path: path)
      try other.write("CONNECT 51\n")
      _ = try guest.receive(Operation.request)
      let closed: UInt64
      do {
        let (program, _) = try guest.acceptFromHost(path: path, port: 52)
        usleep(500_000)
        closed = monotonicNanoseconds()
        _ = program
      }
      while try guest.receive(Operation.reset).packet.destinationPort != 52 {}
      #expect(monotonicNanoseconds() - closed >= 1_000_000_000)
      #expect(try other.readToEnd() == [])
    }
  }

  @Test("A client that makes itself heard again and again while nobody listens is noted once, and is heard afterwards")
  func noisyClient() throws {
    let (end, other) = try PacketSocket.pair()
    let table = VsockSwitch(
      context: VsockGuest.context, listeners: [], connector: DirectConnector(prefix: "/nowhere/"),
      logger: Logger(label: "") { _ in SwiftLogNoOpLogHandler() })
    let client = VsockSwitch.Client(socket: HostSocket(try OwnedDescriptor.duplicate(end.number)), isSequenced: false)
    table.endpoints[client.socket.number] = .client(client)
    table.clientCount = 1
    for _ in 0..<2 {
      for _ in 0..<1000 { table.noted(client.socket.number, .readable) }
      #expect(table.readyClients.count == 1)
      table.serveHost()
      #expect(table.readyClients.isEmpty)
    }
    try other.send(Array("CONNECT 52\n".utf8))
    table.noted(client.socket.number, .readable)
    table.serveHost()
    #expect(table.connections.keys.map(\.guestPort) == [52])
  }
}
