import Platform
import Testing
import VirtioTesting
import VsockTesting

@testable import VsockDevice

@Suite("Sequenced packets", .serialized)
struct SequencedTests {
  private let kind = VsockPacket.Kind.sequenced

  @Test("Messages of the guest arrive whole, in pieces or not")
  func fromGuest() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let (program, connection) = try guest.acceptFromHost(bench, port: 52, sequenced: true)
      try guest.data(pattern(10), on: connection, kind: kind, isEnd: true)
      try guest.data(pattern(3000), on: connection, kind: kind)
      try guest.data(pattern(3000, seed: 1), on: connection, kind: kind, isEnd: true)
      try guest.data([], on: connection, kind: kind, isEnd: true)
      try guest.data([7], on: connection, kind: kind)
      try guest.data([], on: connection, kind: kind, isEnd: true)
      #expect(try program.readSome() == pattern(10))
      #expect(try program.readSome() == pattern(3000) + pattern(3000, seed: 1))
      #expect(try program.readSome() == [7])
    }
  }

  @Test("A guest that waits for room in the middle of a message is told of it", arguments: [(60, 68), (1, 127), (10, 118)])
  func roomForTheRest(_ sizes: (before: Int, part: Int)) throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let (program, connection) = try guest.acceptFromHost(bench, port: 52, sequenced: true)
      // What was read is too little to be told of, and what the guest knows of is used up by the first part of the next message.
      try guest.data(pattern(sizes.before << 10), on: connection, kind: kind, isEnd: true)
      #expect(try program.readSome() == pattern(sizes.before << 10))
      try guest.data(pattern(sizes.part << 10, seed: 1), on: connection, kind: kind)
      #expect(try guest.receive(Operation.creditUpdate).packet.forwarded == UInt32(sizes.before << 10))
      try guest.data(pattern(sizes.before << 10, seed: 2), on: connection, kind: kind, isEnd: true)
      #expect(try program.readSome() == pattern(sizes.part << 10, seed: 1) + pattern(sizes.before << 10, seed: 2))
    }
  }

  @Test("Messages of the host are cut to the guest's buffers, and their ends are marked")
  func fromHost() throws {
    let bench = try VsockBench()
    try bench.withGuest(bufferSize: 1044) { guest in
      let (program, _) = try guest.acceptFromHost(bench, port: 52, sequenced: true)
      for count in [1, 1000, 1001, 50_000] { try program.write(pattern(count, seed: count)) }
      for count in [1, 1000, 1001, 50_000] {
        var message: [UInt8] = []
        while true {
          let part = try guest.receive(Operation.data)
          #expect(part.packet.kind == kind)
          message += part.payload
          if part.packet.flags & VsockPacket.Flag.endOfMessage != 0 { break }
        }
        #expect(message == pattern(count, seed: count))
      }
    }
  }

  @Test("A connection of the guest goes to a socket of the same kind only")
  func guestConnects() throws {
    let bench = try VsockBench()
    let listener = try UnixSocket.listen(at: bench.path + "_1", kind: .sequencedPacket)
    let stream = try UnixSocket.listen(at: bench.path + "_2", kind: .stream)
    try bench.withGuest { guest in
      try guest.send(guest.packet(Operation.request, from: 40, to: 2, kind: kind))
      #expect(try guest.receive().packet.operation == Operation.reset)
      try guest.send(guest.packet(Operation.request, from: 40, to: 1, kind: kind))
      let response = try guest.receive().packet
      #expect((response.operation, response.allocation) == (Operation.response, 128 << 10))
      let program = try HostProgram.accept(from: listener)
      try guest.data(pattern(5), on: GuestConnection(port: 40, hostPort: 1), kind: kind, isEnd: true)
      #expect(try program.readSome() == pattern(5))
    }
    _ = stream
  }

  @Test("What a program sent before it closed arrives, though it has not read all that was sent to it")
  func closedWithMessagesUnread() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      do {
        let (program, connection) = try guest.acceptFromHost(bench, port: 52, sequenced: true)
        for byte in [1, 2] as [UInt8] { try guest.data([byte], on: connection, kind: kind, isEnd: true) }
        #expect(try program.readSome() == [1])
        try program.write("answer")
        try program.write("more")
      }
      #expect(try guest.receive(Operation.data).payload == Array("answer".utf8))
      #expect(try guest.receive(Operation.data).payload == Array("more".utf8))
      #expect(try guest.receive(Operation.shutdown).packet.flags & VsockPacket.Flag.send != 0)
    }
  }

  @Test("A client's message arrives, though it leaves without a look at the answer to CONNECT")
  func leavesAtOnce() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let connection: GuestConnection
      do {
        let program = try HostProgram(path: bench.path + VsockSockets.sequencedSuffix, kind: .sequencedPacket)
        try program.write("CONNECT 52\n")
        let request = try guest.receive(Operation.request).packet
        connection = GuestConnection(port: 52, hostPort: request.sourcePort)
        try program.write("message")
        guest.allocation = 0
        try guest.send(guest.packet(Operation.response, from: 52, to: connection.hostPort, kind: kind))
        // The device has answered it.
        _ = try guest.settle()
      }
      guest.allocation = 1000
      var credit = guest.packet(Operation.creditUpdate, from: 52, to: connection.hostPort, kind: kind)
      credit.forwarded = 0
      try guest.send(credit)
      #expect(try guest.receive(Operation.data).payload == Array("message".utf8))
    }
  }

  @Test("What the guest sent before it closed arrives, though it has not taken all that was sent to it")
  func guestClosesWithMessagesUnread() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      guest.allocation = 4
      let (program, connection) = try guest.acceptFromHost(bench, port: 52, sequenced: true)
      try program.write([1, 2, 3, 4])
      try program.write([5, 6, 7, 8])
      #expect(try guest.receive(Operation.data).payload == [1, 2, 3, 4])
      try guest.data(Array("answer".utf8), on: connection, kind: kind, isEnd: true)
      var packet = guest.packet(Operation.shutdown, from: 52, to: connection.hostPort, kind: kind)
      packet.flags = VsockConnection.bothWays
      try guest.send(packet)
      #expect(try guest.receive(Operation.reset).packet.destinationPort == 52)
      #expect(try program.readSome() == Array("answer".utf8))
      #expect(try program.readSome() == [])
    }
  }

  @Test("A message waits until the guest has room for all of it; one that never fits ends the connection")
  func credit() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      guest.allocation = 1000
      let (program, connection) = try guest.acceptFromHost(bench, port: 52, sequenced: true)
      try program.write(pattern(800))
      #expect(try guest.receive(Operation.data).payload == pattern(800))
      try program.write(pattern(300))
      _ = try guest.receive(Operation.creditRequest)
      #expect(try guest.settle().allSatisfy { $0.payload.isEmpty })
      var packet = guest.packet(Operation.creditUpdate, from: 52, to: connection.hostPort, kind: kind)
      packet.forwarded = 800
      try guest.send(packet)
      #expect(try guest.receive(Operation.data).payload == pattern(300))
      try program.write(pattern(1001))
      #expect(try guest.receive(Operation.reset).packet.destinationPort == 52)
    }
  }

  @Test("A slow host program gets every message, with its borders")
  func slowHostProgram() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let (program, connection) = try guest.acceptFromHost(bench, port: 52, sequenced: true)
      // More than the host's socket takes, and less than the credit.
      for index in 0..<300 { try guest.data(pattern(400, seed: index), on: connection, kind: kind, isEnd: true) }
      for index in 0..<300 { #expect(try program.readSome() == pattern(400, seed: index)) }
    }
  }

  @Test("Messages so short that their borders take more room than they do end the connection when they pile up")
  func shortMessages() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let (program, connection) = try guest.acceptFromHost(bench, port: 52, sequenced: true)
      var ended = false
      for _ in 0..<60_000 where !ended {
        try guest.data([1], on: connection, kind: kind, isEnd: true)
        while let next = try guest.poll() { if next.packet.operation == Operation.reset { ended = true } }
      }
      #expect(ended)
      _ = program
    }
  }

  @Test("A driver that knows no sequenced packets gets none, and cannot send any")
  func notNegotiated() throws {
    let bench = try VsockBench()
    try bench.withGuest(deviceFeatures: 0) { guest in
      try guest.send(guest.packet(Operation.request, from: 40, to: 1, kind: kind))
      #expect(try guest.receive().packet.operation == Operation.reset)
      let program = try HostProgram(path: bench.path + VsockSockets.sequencedSuffix, kind: .sequencedPacket)
      try program.write("CONNECT 52\n")
      #expect(try program.readSome() == [])
    }
  }

  @Test("A guest that closes in the middle of a message resets the connection; whole messages arrive")
  func unfinishedMessage() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let (program, connection) = try guest.acceptFromHost(bench, port: 52, sequenced: true)
      try guest.data(pattern(9), on: connection, kind: kind, isEnd: true)
      try guest.data(pattern(9), on: connection, kind: kind)
      var packet = guest.packet(Operation.shutdown, from: 52, to: connection.hostPort, kind: kind)
      packet.flags = VsockPacket.Flag.send | VsockPacket.Flag.receive
      try guest.send(packet)
      _ = try guest.receive(Operation.reset)
      #expect(try program.readSome() == pattern(9))
      #expect(try program.readSome() == [])
    }
  }
}
