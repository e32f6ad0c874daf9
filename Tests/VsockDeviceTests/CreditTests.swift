import Platform
import Testing
import VirtioTesting
import VsockDevice
import VsockTesting

@Suite("Credit of socket connections", .serialized)
struct CreditTests {
  /// Sends packets until the guest has used all the room that it was told of.
  private func fill(_ guest: VsockGuest, _ connection: GuestConnection, allowance: Int) throws -> (sent: [UInt8], told: UInt32) {
    var sent: [UInt8] = []
    var told: UInt32 = 0
    while true {
      let room = allowance - (sent.count - Int(told))
      let updates = try guest.settle().filter { $0.packet.operation == Operation.creditUpdate }
      if let last = updates.last { told = last.packet.forwarded }
      if room == 0, updates.isEmpty { return (sent, told) }
      guard room > 0 else { continue }
      let piece = pattern(min(room, 16 << 10), seed: sent.count)
      try guest.data(piece, on: connection)
      sent += piece
    }
  }

  @Test("A host program that does not read uses up the guest's credit, and gets every byte when it reads")
  func slowHostProgram() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let (program, connection) = try guest.acceptFromHost(bench, port: 52)
      let (sent, told) = try fill(guest, connection, allowance: 256 << 10)
      #expect(sent.count - Int(told) == 256 << 10)
      #expect(try program.read(sent.count) == sent)
      let update = try guest.receive(Operation.creditUpdate)
      #expect(update.packet.forwarded > told)
    }
  }

  @Test("A guest that sends more than its credit loses that connection, and no other")
  func overrun() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let (first, other) = try guest.acceptFromHost(bench, port: 53)
      let (program, connection) = try guest.acceptFromHost(bench, port: 52)
      _ = try fill(guest, connection, allowance: 256 << 10)
      try guest.data([1], on: connection)
      #expect(try guest.receive(Operation.reset).packet.destinationPort == 52)
      try guest.send(data: "fine", on: other)
      #expect(try first.read(4) == Array("fine".utf8))
      _ = program
    }
  }

  @Test("The host sends no more than the guest has room for, asks for credit, and goes on with it")
  func smallGuest() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      guest.allocation = 1000
      let (program, connection) = try guest.acceptFromHost(bench, port: 52)
      let bytes = pattern(5000)
      try program.write(bytes)
      var received: [UInt8] = []
      var asked = 0
      while received.count < bytes.count {
        let next = try guest.receive()
        received += next.payload
        guard next.packet.operation == Operation.creditRequest else { continue }
        asked += 1
        #expect(received.count == 1000 * asked)
        try guest.sendCredit(UInt32(received.count), on: connection)
      }
      #expect(received == bytes)
      // The last thousand bytes leave nothing to ask for.
      #expect(asked == 4)
    }
  }

  @Test("The counters wrap around, and a guest that lies about them gets nothing more")
  func lies() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let (program, connection) = try guest.acceptFromHost(bench, port: 52)
      // It took bytes that were never sent.
      try guest.sendCredit(0x8000_0000, on: connection)
      try program.write("held back")
      #expect(try guest.settle().allSatisfy { $0.payload.isEmpty })
      try guest.sendCredit(0, on: connection)
      #expect(try guest.receive(Operation.data).payload == Array("held back".utf8))
    }
  }

  @Test("A guest that asks for credit is told")
  func creditRequest() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let (program, connection) = try guest.acceptFromHost(bench, port: 52)
      try guest.send(data: "abc", on: connection)
      #expect(try program.read(3) == Array("abc".utf8))
      try guest.send(guest.packet(Operation.creditRequest, from: 52, to: connection.hostPort))
      let update = try guest.receive(Operation.creditUpdate)
      #expect((update.packet.forwarded, update.packet.allocation) == (3, 256 << 10))
    }
  }

  @Test("One connection whose host program does not read leaves the others alone")
  func othersGoOn() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let (stuck, connection) = try guest.acceptFromHost(bench, port: 52)
      _ = try fill(guest, connection, allowance: 256 << 10)
      let (program, other) = try guest.acceptFromHost(bench, port: 53)
      for round in 0..<100 {
        try guest.data(pattern(1000, seed: round), on: other)
        #expect(try program.read(1000) == pattern(1000, seed: round))
      }
      _ = stuck
    }
  }
}
