import Platform
import Testing
import VirtioTesting
import VsockTesting

@testable import VsockDevice

@Suite("Thousands of connections", .serialized)
struct CrowdTests {
  @Test("5,000 connections at once, of the host and of the guest, each with bytes both ways")
  func crowd() throws {
    DescriptorLimit.raise()
    let bench = try VsockBench()
    let listener = try UnixSocket.listen(at: bench.path + "_9", kind: .stream, backlog: 4096)
    try bench.withGuest(buffers: 256) { guest in
      let half: UInt32 = 2500
      var programs: [GuestConnection: HostProgram] = [:]
      for port in 0..<half {
        let (program, connection) = try guest.acceptFromHost(bench, port: port)
        programs[connection] = program
      }
      for port in 0..<half {
        let connection = GuestConnection(port: 100_000 + port, hostPort: 9)
        try guest.send(guest.packet(Operation.request, from: connection.port, to: 9))
        #expect(try guest.receive().packet.operation == Operation.response)
        programs[connection] = try HostProgram.accept(from: listener)
      }
      for (connection, program) in programs { try program.write("\(connection.port) ") }
      var texts: [GuestConnection: String] = [:]
      while texts.count < programs.count {
        let next = try guest.receive()
        let connection = GuestConnection(port: next.packet.destinationPort, hostPort: next.packet.sourcePort)
        texts[connection] = String(decoding: next.payload, as: UTF8.self)
      }
      #expect(texts.allSatisfy { $0.value == "\($0.key.port) " })
      for (connection, program) in programs {
        try guest.send(data: "\(connection.port)", on: connection)
        let expected = Array("\(connection.port)".utf8)
        #expect(try program.read(expected.count) == expected)
      }
    }
  }

  @Test("A client that never says where to gives its place to the next")
  func silentClients() throws {
    try withLimits({
      $0.connections = 2
      $0.greetingTime = 50_000_000
    }) { guest, path in
      let silent = try (0..<2).map { _ in try HostProgram(path: path) }
      try silent[0].write("CONN")
      let program = try HostProgram(path: path)
      try program.write("CONNECT 52\n")
      _ = try guest.receive(Operation.request)
      // One of them has lost bytes that nobody read, which is a reset.
      #expect(throws: SystemError.self) { try silent[0].readToEnd() }
      #expect(try silent[1].readToEnd() == [])
    }
  }

  @Test("One more than there are places for waits outside, and one of the guest is refused")
  func full() throws {
    try withLimits({ $0.connections = 20 }) { guest, path in
      let listener = try UnixSocket.listen(at: path + "_9", kind: .stream)
      var programs: [HostProgram] = []
      var ports: [UInt32] = []
      for port in 0..<20 as Range<UInt32> {
        let program = try HostProgram(path: path)
        try program.write("CONNECT \(port)\n")
        programs.append(program)
        ports.append(try guest.receive(Operation.request).packet.sourcePort)
        try guest.send(guest.packet(Operation.response, from: port, to: ports[Int(port)]))
      }
      try guest.send(guest.packet(Operation.request, from: 1, to: 9))
      #expect(try guest.receive(Operation.reset).packet.sourcePort == 9)
      let waiting = try HostProgram(path: path)
      try waiting.write("CONNECT 7\n")
      #expect(try guest.settle().isEmpty)
      try guest.send(guest.packet(Operation.reset, from: 3, to: ports[3]))
      #expect(try guest.receive(Operation.request).packet.destinationPort == 7)
      _ = listener
    }
  }

  @Test("A host program without room for more connections is tried again until it has")
  func fullBacklog() throws {
    // For as long as the test takes, however slow the machine is.
    try withLimits({ $0.retryTime = 1_000_000_000_000 }) { guest, path in
      let listener = try UnixSocket.listen(at: path + "_9", kind: .stream, backlog: 2)
      for port in 0..<20 as Range<UInt32> { try guest.send(guest.packet(Operation.request, from: port, to: 9)) }
      var programs: [HostProgram] = []
      for _ in 0..<20 {
        programs.append(try HostProgram.accept(from: listener))
        #expect(try guest.receive().packet.operation == Operation.response)
      }
    }
  }

  @Test("A host program that has no room for too long is given up")
  func endlessBacklog() throws {
    try withLimits({ $0.retryTime = 1 }) { guest, path in
      let listener = try UnixSocket.listen(at: path + "_9", kind: .stream, backlog: 0)
      for port in 0..<4 as Range<UInt32> { try guest.send(guest.packet(Operation.request, from: port, to: 9)) }
      #expect(try guest.receive(Operation.reset).packet.sourcePort == 9)
      _ = listener
    }
  }
}
