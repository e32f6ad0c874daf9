import GuestMemory
import Logging
import Platform
import Testing
import Virtio
import VirtioTesting
import VsockTesting

@testable import VsockDevice

@Suite("Hostile guests of the socket device", .serialized)
struct HostileGuestTests {
  @Test("A packet without a whole header is dropped", arguments: [1, 43])
  func shortHeader(_ count: Int) throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      try guest.send(bytes: [UInt8](repeating: 0xff, count: count))
      #expect(try guest.settle().isEmpty)
    }
  }

  @Test(
    "A packet from or to another address is dropped",
    arguments: [(4, 2), (3, 3), (3, 0), (1 << 32 | 3, 2), (UInt64.max, UInt64.max)] as [(UInt64, UInt64)])
  func wrongAddress(_ source: UInt64, _ destination: UInt64) throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      var packet = guest.packet(Operation.request, from: 1, to: 2)
      packet.source = source
      packet.destination = destination
      try guest.send(packet)
      #expect(try guest.settle().isEmpty)
    }
  }

  @Test("A packet of an unknown type is answered by a reset of that type, and a reset is not", arguments: [0, 3, UInt16.max])
  func unknownType(_ kind: UInt16) throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      try guest.send(guest.packet(Operation.request, from: 1, to: 2, kind: kind))
      try guest.send(guest.packet(Operation.reset, from: 3, to: 4, kind: kind))
      let answers = try guest.settle()
      #expect(answers.map(\.packet.operation) == [Operation.reset])
      #expect(answers.first?.packet.kind == kind)
    }
  }

  @Test("A packet that belongs to no connection is answered by a reset", arguments: [0, 2, 4, 5, 6, 7, 8, UInt16.max])
  func stranger(_ operation: UInt16) throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      var packet = guest.packet(operation, from: 9, to: 10)
      packet.length = operation == Operation.data ? 3 : 0
      try guest.send(packet, payload: operation == Operation.data ? [1, 2, 3] : [])
      let answers = try guest.settle()
      #expect(answers.map(\.packet.operation) == [Operation.reset])
      #expect(answers.first.map { [$0.packet.sourcePort, $0.packet.destinationPort] } == [10, 9])
    }
  }

  @Test("What does not fit a connection's state ends it", arguments: [0, 1, 2, 8, UInt16.max])
  func misplaced(_ operation: UInt16) throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let (program, connection) = try guest.acceptFromHost(bench, port: 52)
      try guest.send(guest.packet(operation, from: 52, to: connection.hostPort))
      #expect(try guest.receive(Operation.reset).packet.destinationPort == 52)
      #expect(try program.readToEnd() == [])
    }
  }

  @Test("A length beyond the buffer ends the connection", arguments: [5, 1 << 16, UInt32.max])
  func longLength(_ length: UInt32) throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let (program, connection) = try guest.acceptFromHost(bench, port: 52)
      var packet = guest.packet(Operation.data, from: 52, to: connection.hostPort)
      packet.length = length
      try guest.send(packet, payload: [1, 2, 3, 4])
      #expect(try guest.receive(Operation.reset).packet.destinationPort == 52)
      #expect(try program.readToEnd() == [])
    }
  }

  @Test("Data in memory that devices do not reach ends that connection only")
  func unreachableData() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let (other, otherConnection) = try guest.acceptFromHost(bench, port: 51)
      let (program, connection) = try guest.acceptFromHost(bench, port: 52)
      var packet = guest.packet(Operation.data, from: 52, to: connection.hostPort)
      packet.length = 4096
      let driver = guest.driver.drivers[1]
      let address = try driver.heap.allocate(UInt64(VsockPacket.size))
      try driver.memory.write(packet.bytes, at: GuestAddress(address))
      for header in [address, 1 << 50] {
        let buffers = [GuestBuffer(address: header, count: UInt32(VsockPacket.size)), GuestBuffer(address: 1 << 50, count: 4096)]
        _ = try driver.add(readable: buffers, writable: [], indirect: false)
        guest.driver.ring(1)
        _ = try guest.driver.within(.seconds(10), "the packet back") { try guest.driver.pollUsed(1) }
      }
      #expect(try guest.receive(Operation.reset).packet.destinationPort == 52)
      #expect(try program.readToEnd() == [])
      try guest.data([5], on: otherConnection)
      #expect(try other.read(1) == [5])
    }
  }

  @Test("Of a buffer longer than the length only that many bytes count")
  func shortLength() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let (program, connection) = try guest.acceptFromHost(bench, port: 52)
      var packet = guest.packet(Operation.data, from: 52, to: connection.hostPort)
      packet.length = 2
      try guest.send(packet, payload: [1, 2, 3, 4])
      try guest.data([5], on: connection)
      #expect(try program.read(3) == [1, 2, 5])
    }
  }

  @Test("Data after the guest said that it sends no more ends the connection")
  func dataAfterShutdown() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let (program, connection) = try guest.acceptFromHost(bench, port: 52)
      try guest.shutDown(connection, VsockPacket.Flag.send)
      #expect(try program.readToEnd() == [])
      try guest.send(data: "x", on: connection)
      #expect(try guest.receive(Operation.reset).packet.destinationPort == 52)
    }
  }

  @Test("Buffers that are too small come back empty, and the next that fits is filled", arguments: [1, 43, 44])
  func tinyBuffers(_ size: Int) throws {
    let bench = try VsockBench()
    try bench.withGuest(bufferSize: size, buffers: 8) { guest in
      guest.keepsBuffers = false
      let program = try HostProgram(path: bench.path)
      try program.write("CONNECT 52\n")
      try guest.post(bufferSize: 45, buffers: 200)
      let request = try guest.receive(Operation.request)
      try guest.send(guest.packet(Operation.response, from: 52, to: request.packet.sourcePort))
      _ = try program.readLine()
      try program.write("one byte at a time")
      var bytes: [UInt8] = []
      while bytes.count < 18 { bytes += try guest.receive(Operation.data).payload }
      #expect(String(decoding: bytes, as: UTF8.self) == "one byte at a time")
    }
  }

  @Test("After a ring full of buffers that are too small, the next that fits is filled", arguments: [1, 43])
  func ringOfTinyBuffers(_ size: Int) throws {
    let bench = try VsockBench()
    try bench.withGuest(bufferSize: size, buffers: 256) { guest in
      guest.keepsBuffers = false
      let program = try HostProgram(path: bench.path)
      try program.write("CONNECT 52\n")
      // All come back before another is posted.
      let isEmpty = try guest.driver.within(.seconds(10), "empty buffers") {
        _ = try guest.poll()
        return guest.outstanding == 0 ? true : nil
      }
      #expect(isEmpty)
      try guest.post(bufferSize: 44, buffers: 4)
      _ = try guest.receive(Operation.request)
    }
  }

  @Test("A burst as long as a turn is served, and so is what comes after it", arguments: [127, 128, 129, 256])
  func burst(_ count: Int) throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      guest.driver.device.suspend()
      let bytes = guest.packet(Operation.creditUpdate, from: 1, to: 77).bytes
      for _ in 0..<count { _ = try guest.driver.submit(1, readable: [bytes]) }
      guest.driver.device.resume()
      for _ in 0..<count { _ = try guest.driver.wait(1) }
      // Whoever was not told that the device sleeps does not ring.
      for _ in 0..<3 { try guest.send(guest.packet(Operation.creditUpdate, from: 1, to: 78)) }
    }
  }

  /// Answers every attempt alike.
  private final class SameConnector: VsockConnector {
    let answer: () -> VsockConnectorAnswer
    init(_ answer: @escaping () -> VsockConnectorAnswer) { self.answer = answer }
    var number: Int32? { nil }
    func connect(port: UInt32, isSequenced: Bool) -> VsockConnectorAnswer { answer() }
    func next() -> VsockConnectorAnswer? { nil }
  }

  @Test(
    "Connections that the guest begins and gives up again and again leave nothing behind, wherever they stand",
    arguments: ["connected", "busy", "later"])
  func givenUp(_ kind: String) throws {
    let (end, _) = try PacketSocket.pair()
    let connector = SameConnector {
      guard kind == "connected" else { return kind == "busy" ? .busy : .later }
      guard let socket = try? OwnedDescriptor.duplicate(end.number) else { return .failed(1) }
      return .connected(HostSocket(socket))
    }
    let table = VsockSwitch(
      context: VsockGuest.context, listeners: [], connector: connector, logger: .init(label: "") { _ in SwiftLogNoOpLogHandler() })
    try withActivatedDevice(VsockDevice(context: VsockGuest.context, table: table)) { driver in
      let guest = try VsockGuest(driver, buffers: 0)
      for port in 0..<3000 as Range<UInt32> {
        try guest.send(guest.packet(Operation.request, from: port, to: 5))
        try guest.send(guest.packet(Operation.reset, from: port, to: 5))
      }
      guest.driver.device.suspend()
      #expect(table.count == 0)
      #expect(max(table.ready.count, table.retries.count, table.waiting.count, table.deadlines.count) <= 128)
      guest.driver.device.resume()
    }
  }

  @Test("Without receive buffers nothing is lost, and all goes on when they come")
  func emptyRing() throws {
    let bench = try VsockBench()
    try bench.withGuest(buffers: 0) { guest in
      let programs = try (0..<50).map { _ in try HostProgram(path: bench.path) }
      for program in programs { try program.write("CONNECT 52\n") }
      // Meanwhile the transmit queue is served.
      for port in 0..<300 as Range<UInt32> { try guest.send(guest.packet(Operation.data, from: port, to: 77)) }
      try guest.post(bufferSize: 4096, buffers: 1)
      var requests = 0
      var resets = 0
      while requests < 50 || resets < 300 {
        let packet = try guest.receive().packet
        if packet.operation == Operation.request { requests += 1 }
        if packet.operation == Operation.reset { resets += 1 }
      }
    }
  }

  @Test("A storm of packets that call for resets, from a guest that takes none, takes no more than its share of memory")
  func resetStorm() throws {
    let table = VsockSwitch(
      context: VsockGuest.context, listeners: [], connector: DirectConnector(prefix: "/nowhere/"),
      logger: .init(label: "") { _ in SwiftLogNoOpLogHandler() })
    try withActivatedDevice(VsockDevice(context: VsockGuest.context, table: table)) { driver in
      let guest = try VsockGuest(driver, buffers: 0)
      for port in 0..<10_000 as Range<UInt32> { try guest.send(guest.packet(Operation.data, from: port / 1, to: 77)) }
      for _ in 0..<1000 { try guest.send(guest.packet(Operation.data, from: 1, to: 77)) }
      guest.driver.device.suspend()
      #expect(table.resets.count == table.limits.resets)
      guest.driver.device.resume()
    }
    #expect(table.resets.isEmpty)
  }

  @Test("A ring that breaks the rules makes the device ask for a reset")
  func brokenRing() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      _ = try guest.driver.drivers[1].add(readable: [GuestBuffer(address: 4096, count: 0)], writable: [], indirect: false)
      guest.driver.ring(1)
      #expect(try guest.driver.waitForReset().hasPrefix("queue 1"))
    }
  }
}
