import CLinux
import Glibc
import Platform
import Testing
import Virtio
import VirtioTesting
import VsockDevice
import VsockTesting

@Suite("Life of the socket device", .serialized)
struct LifecycleTests {
  @Test("The driver finds its address, and nothing after it")
  func configuration() throws {
    let bench = try VsockBench()
    #expect(bench.device.readConfiguration(offset: 0, width: 8) == 3)
    #expect(bench.device.readConfiguration(offset: 8, width: 8) == 0)
    bench.device.writeConfiguration(offset: 0, width: 8, value: 9)
    #expect(bench.device.readConfiguration(offset: 0, width: 4) == 3)
  }

  @Test("A reset under traffic ends all connections, and the next driver has new ones")
  func resetUnderTraffic() throws {
    let bench = try VsockBench()
    for round in 0..<20 {
      try bench.withGuest { guest in
        let (program, connection) = try guest.acceptFromHost(bench, port: 52)
        try program.write(pattern(10_000 * round))
        try guest.data(pattern(1000), on: connection)
        // Not waited for: the driver goes while bytes are on their way.
        _ = try guest.poll()
      }
    }
  }

  @Test("What a guest sent before it went arrives at a slow host program, once there is a driver again")
  func drainsWithNextDriver() throws {
    let bench = try VsockBench()
    var sent: [UInt8] = []
    let program = try bench.withGuest { guest in
      let (program, connection) = try guest.acceptFromHost(bench, port: 52)
      // More than the host's socket takes at once.
      for index in 0..<16 {
        sent += pattern(16 << 10, seed: index)
        try guest.data(pattern(16 << 10, seed: index), on: connection)
      }
      return program
    }
    let received = try bench.withGuest { _ in try program.readToEnd() }
    #expect(received == sent)
  }

  @Test("What the thread had noted and had no time for when its driver went is not forgotten")
  func drainsAfterSuspension() throws {
    let bench = try VsockBench()
    var sent: [UInt8] = []
    var received: [UInt8] = []
    let program = try bench.withGuest { guest in
      let (program, connection) = try guest.acceptFromHost(bench, port: 52)
      for index in 0..<16 {
        sent += pattern(16 << 10, seed: index)
        try guest.data(pattern(16 << 10, seed: index), on: connection)
      }
      bench.device.suspend()
      // The kernel tells of room once three quarters are free. The thread hears of it, and may do nothing about it.
      received = try program.read(200_000)
      usleep(50_000)
      return program
    }
    bench.device.resume()
    received += try bench.withGuest { _ in try program.readToEnd() }
    #expect(received == sent)
  }

  @Test("At the end of the machine, what the guest sent gets a moment to arrive")
  func finish() throws {
    let bench = try VsockBench()
    var sent: [UInt8] = []
    let program = try bench.withGuest { guest in
      let (program, connection) = try guest.acceptFromHost(bench, port: 52)
      for index in 0..<16 {
        sent += pattern(16 << 10, seed: index)
        try guest.data(pattern(16 << 10, seed: index), on: connection)
      }
      return program
    }
    let received = Handover<[UInt8]>(nil)
    let reader = try PThread(name: "reader") { received.give((try? program.readToEnd()) ?? []) }
    bench.device.finish()
    reader.join()
    #expect(received.take() == sent)
  }

  @Test("A suspended device does nothing, and goes on where it was")
  func suspend() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let (program, connection) = try guest.acceptFromHost(bench, port: 52)
      bench.device.suspend()
      try program.write("meanwhile")
      var packet = guest.packet(Operation.data, from: 52, to: connection.hostPort)
      packet.length = 4
      _ = try guest.driver.submit(1, readable: [packet.bytes + Array("also".utf8)])
      let client = try HostProgram(path: bench.path)
      try client.write("CONNECT 53\n")
      #expect(try guest.poll() == nil)
      #expect(try guest.driver.poll(1) == nil)
      bench.device.resume()
      #expect(try program.read(4) == Array("also".utf8))
      var seen: Set<UInt16> = []
      while seen != [Operation.data, Operation.request] { seen.insert(try guest.receive().packet.operation) }
    }
  }

  @Test("A driver whose connections went with a snapshot is told")
  func transportReset() throws {
    let bench = try VsockBench()
    try bench.device.restore(try bench.device.snapshot())
    try bench.withGuest { guest in
      _ = try guest.driver.submit(2, writable: [2])
      _ = try guest.driver.submit(2, writable: [4])
      #expect(try guest.driver.wait(2).written == 0)
      let event = try guest.driver.wait(2)
      #expect(event.bytes == [0, 0, 0, 0])
      _ = try guest.driver.submit(2, writable: [4])
      #expect(try guest.settle().isEmpty)
      #expect(try guest.driver.poll(2) == nil)
    }
    #expect(throws: VsockStateError.self) { try bench.device.restore([1]) }
  }

  @Test("Sockets that nobody listens at are replaced, and others are not; they go with the device")
  func names() throws {
    let bench = try VsockBench()
    #expect(throws: VsockSocketError.self) { _ = try VsockSockets(path: bench.path) }
    let other = bench.folder + "/other"
    _ = try UnixSocket.listen(at: other, kind: .stream)
    _ = try UnixSocket.listen(at: other + ".seqpacket", kind: .sequencedPacket)
    _ = try VsockSockets(path: other)
    #expect(unsafe access(other, F_OK) != 0)
    #expect(unsafe access(other + ".seqpacket", F_OK) != 0)
    let file = try OwnedDescriptor.open(other, flags: O_CREAT | O_WRONLY, mode: 0o600)
    let error = #expect(throws: VsockSocketError.self) { _ = try VsockSockets(path: other) }
    #expect(error?.description == "\(other) is there and is not such a socket; it is left alone: give another path")
    _ = file
  }
}
