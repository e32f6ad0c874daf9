import Glibc
import Platform
import Testing
import VirtioTesting
import VsockTesting

@testable import VsockDevice

typealias Operation = VsockPacket.Operation

@Suite("Connections between guest and host", .serialized)
struct ConnectionTests {
  @Test("A host program says CONNECT, the guest accepts, and both send")
  func hostConnects() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let (program, connection) = try guest.acceptFromHost(bench, port: 52)
      try program.write("hello")
      let data = try guest.receive(Operation.data)
      #expect(data.payload == Array("hello".utf8))
      #expect((data.packet.sourcePort, data.packet.destinationPort) == (connection.hostPort, 52))
      try guest.send(data: "world", on: connection)
      #expect(try program.read(5) == Array("world".utf8))
    }
  }

  @Test("A port of the guest where nobody listens is the end of the host program's connection")
  func guestRefuses() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let program = try HostProgram(path: bench.path)
      try program.write("CONNECT 99\n")
      let request = try guest.receive(Operation.request)
      try guest.send(guest.packet(Operation.reset, from: 99, to: request.packet.sourcePort))
      #expect(try program.readToEnd() == [])
    }
  }

  @Test("The first line may come in pieces, in small letters, and with data after it")
  func piecesOfTheFirstLine() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let program = try HostProgram(path: bench.path)
      for piece in ["conn", "ect 7", "\nfirst bytes"] { try program.write(piece) }
      let request = try guest.receive(Operation.request)
      #expect(request.packet.destinationPort == 7)
      try guest.send(guest.packet(Operation.response, from: 7, to: request.packet.sourcePort))
      #expect(try program.readLine() == "OK \(request.packet.sourcePort)\n")
      #expect(try guest.receive(Operation.data).payload == Array("first bytes".utf8))
    }
  }

  @Test(
    "Another first line is the end of the connection",
    arguments: [
      "HELLO\n", "CONNECT \n", "CONNECT -1\n", "CONNECT 4294967295\n", "CONNECT 99999999999\n", "CONNECT 1 2\n", "CONNECT 12345678901",
    ])
  func wrongFirstLine(_ line: String) throws {
    let bench = try VsockBench()
    try bench.withGuest { _ in
      let program = try HostProgram(path: bench.path)
      try program.write(line)
      // What was not read makes the end a reset.
      #expect((try? program.readToEnd()) ?? [] == [])
    }
  }

  @Test("A connection of the guest goes to the socket with its port in the name")
  func guestConnects() throws {
    let bench = try VsockBench()
    let listener = try UnixSocket.listen(at: bench.path + "_1234", kind: .stream)
    try bench.withGuest { guest in
      try guest.send(guest.packet(Operation.request, from: 40, to: 1234))
      let response = try guest.receive()
      #expect(response.packet.operation == Operation.response)
      #expect(response.packet.allocation == 256 << 10)
      let program = try HostProgram.accept(from: listener)
      let connection = GuestConnection(port: 40, hostPort: 1234)
      try guest.send(data: "ping", on: connection)
      #expect(try program.read(4) == Array("ping".utf8))
      try program.write("pong")
      #expect(try guest.receive(Operation.data).payload == Array("pong".utf8))
    }
  }

  @Test("A port of the host where nobody listens is answered by a reset")
  func hostRefuses() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      try guest.send(guest.packet(Operation.request, from: 40, to: 1))
      let reset = try guest.receive()
      #expect(reset.packet.operation == Operation.reset)
      #expect((reset.packet.sourcePort, reset.packet.destinationPort) == (1, 40))
    }
  }

  @Test("Host programs that came before there was a driver wait for it")
  func clientsWait() throws {
    let bench = try VsockBench()
    let program = try HostProgram(path: bench.path)
    try program.write("CONNECT 5\n")
    let request = try bench.withGuest { guest in try guest.receive(Operation.request) }
    #expect(request.packet.destinationPort == 5)
    // The driver has gone before it answered.
    #expect(try program.readToEnd() == [])
  }

  @Test("The guest sends no more, and still receives")
  func guestHalfCloses() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let (program, connection) = try guest.acceptFromHost(bench, port: 52)
      try guest.send(data: "last", on: connection)
      try guest.shutDown(connection, VsockPacket.Flag.send)
      #expect(try program.readToEnd() == Array("last".utf8))
      try program.write("answer")
      #expect(try guest.receive(Operation.data).payload == Array("answer".utf8))
    }
  }

  @Test("The host program sends no more, and still receives")
  func hostHalfCloses() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let (program, connection) = try guest.acceptFromHost(bench, port: 52)
      try program.write("last")
      program.endWriting()
      #expect(try guest.receive(Operation.data).payload == Array("last".utf8))
      #expect(try guest.receive(Operation.shutdown).packet.flags == VsockPacket.Flag.send)
      try guest.send(data: "answer", on: connection)
      #expect(try program.read(6) == Array("answer".utf8))
    }
  }

  @Test("A connection that the guest closes is confirmed by a reset, and what it sent arrives")
  func guestCloses() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let (program, connection) = try guest.acceptFromHost(bench, port: 52)
      try guest.send(data: "all", on: connection)
      try guest.shutDown(connection, VsockPacket.Flag.send | VsockPacket.Flag.receive)
      #expect(try guest.receive(Operation.reset).packet.destinationPort == 52)
      #expect(try program.readToEnd() == Array("all".utf8))
    }
  }

  @Test("A host program that dies with all read is the end in both directions; data for it afterwards is answered by a reset")
  func hostDies() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let connection: GuestConnection
      do {
        let program: HostProgram
        (program, connection) = try guest.acceptFromHost(bench, port: 52)
        try program.write("bye")
      }
      #expect(try guest.receive(Operation.data).payload == Array("bye".utf8))
      var flags: UInt32 = 0
      while flags != 3 { flags |= try guest.receive(Operation.shutdown).packet.flags }
      try guest.send(data: "?", on: connection)
      #expect(try guest.receive(Operation.reset).packet.destinationPort == 52)
    }
  }

  @Test("What was on its way when the host program went is no mistake of the guest")
  func lateData() throws {
    let lines = LogLines()
    try withLimits({ _ in }, logger: lines.logger) { guest, path in
      let connection: GuestConnection
      do {
        let program: HostProgram
        (program, connection) = try guest.acceptFromHost(path: path, port: 52)
        _ = program
      }
      while try guest.receive(Operation.shutdown).packet.flags != 3 {}
      try guest.send(data: "late", on: connection)
      #expect(try guest.receive(Operation.reset).packet.destinationPort == 52)
    }
    #expect(lines.all.isEmpty, "\(lines.all)")
  }

  @Test("A guest that takes no more is told when the host program goes")
  func hostDiesUnheard() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      do {
        let (program, connection) = try guest.acceptFromHost(bench, port: 52)
        try guest.shutDown(connection, VsockPacket.Flag.receive)
        try guest.data([1], on: connection)
        #expect(try program.read(1) == [1])
      }
      while try guest.receive(Operation.shutdown).packet.flags != 3 {}
    }
  }

  @Test("A host program that only writes is told when the guest has closed, while the guest's last bytes wait for it")
  func guestClosesOnAWriter() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      guest.allocation = 0
      let (program, connection) = try guest.acceptFromHost(bench, port: 52)
      while program.writeNow(pattern(10_000)) > 0 {}
      var sent: [UInt8] = []
      for index in 0..<16 {
        sent += pattern(16 << 10, seed: index)
        try guest.data(pattern(16 << 10, seed: index), on: connection)
      }
      try guest.shutDown(connection, VsockConnection.bothWays)
      #expect(try guest.receive(Operation.reset).packet.destinationPort == 52)
      let error = #expect(throws: SystemError.self) { try program.write([1]) }
      #expect(error?.code == EPIPE)
      #expect(try program.read(sent.count) == sent)
      // That the guest has not taken all is told last.
      #expect(throws: SystemError.self) { try program.read(1) }
    }
  }

  @Test("A host program that dies with bytes unread resets the connection")
  func hostDiesUnread() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let connection: GuestConnection
      do {
        let program: HostProgram
        (program, connection) = try guest.acceptFromHost(bench, port: 52)
        try guest.send(data: "never read", on: connection)
        _ = program
      }
      #expect(try guest.receive(Operation.reset).packet.destinationPort == 52)
    }
  }

  @Test("A guest that resets a connection closes the host's end")
  func guestResets() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let (program, connection) = try guest.acceptFromHost(bench, port: 52)
      try guest.send(guest.packet(Operation.reset, from: 52, to: connection.hostPort))
      #expect(try program.readToEnd() == [])
      try guest.send(data: "late", on: connection)
      #expect(try guest.receive(Operation.reset).packet.sourcePort == connection.hostPort)
    }
  }
}
