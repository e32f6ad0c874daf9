import GuestMemory
import NetDevice
import NetTesting
import Platform
import Testing
import Virtio
import VirtioTesting

@Suite struct TransmitTests {
  @Test("A frame is sent with its header, however it is cut", arguments: Variant.all)
  func cuts(_ variant: Variant) throws {
    try withCard(variant) { guest, network in
      let whole = plainHeader + frame(count: 1514, seed: 3)
      for cut in [1, 7, 12, 13, 100, 2000] where variant.features & VirtioFeatures.indirectDescriptors != 0 || cut > 12 {
        let pieces = stride(from: 0, to: whole.count, by: max(cut, whole.count / 250)).map {
          Array(whole[$0..<min($0 + max(cut, whole.count / 250), whole.count)])
        }
        try guest.sendFrame(pieces, indirect: variant.features & VirtioFeatures.indirectDescriptors != 0)
        #expect(network.receive() == whole)
      }
      // A header that is cut into single bytes.
      try guest.sendFrame(plainHeader.map { [$0] } + [frame()])
      #expect(network.receive() == plainHeader + frame())
    }
  }

  @Test("What a frame asks for goes along, and hints are made harmless") func headers() throws {
    try withCard { guest, network in
      let sent = frame(count: 9000)
      for way in [1, 3, 4, 5, 0x81, 0x84] as [UInt8] {
        try guest.sendFrame([header(flags: 1, way: way, headerLength: 54, size: 1448, start: 34, offset: 16), sent])
        #expect(network.receive() == header(flags: 1, way: way, headerLength: 54, size: 1448, start: 34, offset: 16) + sent)
      }
      // Flags of received frames, an absurd length of the headers, sizes without meaning, a count of buffers.
      var odd = header(flags: 0xfe, headerLength: 0xffff, size: 99)
      odd[10] = 0xff
      odd[11] = 0xff
      try guest.sendFrame([odd, frame(count: 60)])
      #expect(network.receive() == header(headerLength: 60) + frame(count: 60))
    }
  }

  @Test(
    "Hostile frames are dropped, and the next one is sent",
    arguments: [
      [], [0], plainHeader.dropLast(), plainHeader, plainHeader + [1], plainHeader + frame().prefix(13),
      header(flags: 1, start: 0xffff, offset: 0xffff) + frame(), header(flags: 1, start: 59, offset: 0) + frame(),
      header(flags: 1, start: 0, offset: 59) + frame(), header(flags: 1, way: 1, size: 0, start: 34, offset: 16) + frame(),
      header(flags: 1, way: 1, size: 7, start: 34, offset: 16) + frame(),
      header(flags: 1, way: 4, size: 0xffff, start: 34, offset: 16) + frame(),
      header(flags: 1, way: 5, size: 0, start: 34, offset: 6) + frame(),
      header(flags: 1, way: 5, size: 1, start: 34, offset: 6) + frame(count: 34 + 8 + 129),
      header(flags: 1, way: 5, size: 7, start: 34, offset: 6) + frame(count: 34 + 8 + 897),
      header(way: 1, size: 1448) + frame(), header(flags: 1, way: 2, size: 1448, start: 34, offset: 16) + frame(),
      header(flags: 1, way: 0x80, size: 1448, start: 34, offset: 16) + frame(),
      header(flags: 1, way: 0x83, size: 1448, start: 34, offset: 16) + frame(), header(flags: 1, way: 0xff, size: 1448) + frame(),
      plainHeader + frame(count: NetRequest.frameLimit + 1), plainHeader + frame(count: 1 << 20),
    ] as [[UInt8]])
  func hostile(bytes: [UInt8]) throws {
    let lines = LogLines()
    try withCard(logger: lines.logger) { guest, network in
      for _ in 0..<50 { try guest.sendFrame([bytes.isEmpty ? [0] : bytes]) }
      try guest.sendFrame([plainHeader, frame(seed: 1)])
      #expect(network.receive() == plainHeader + frame(seed: 1))
      #expect((1...5).contains(lines.all.count))
    }
  }

  @Test("Frames in memory that devices do not reach are dropped, and the next one is sent", arguments: Variant.all)
  func unreachable(_ variant: Variant) throws {
    let lines = LogLines()
    try withCard(variant, logger: lines.logger) { guest, network in
      let driver = guest.drivers[Queue.transmit]
      let address = try driver.heap.allocate(2048)
      try guest.memory.write(plainHeader + frame(), at: GuestAddress(address))
      let (near, far) = (GuestBuffer(address: address, count: 72), GuestBuffer(address: 1 << 50, count: 1000))
      for buffers in [[far], [near, far], [far, near], [near, far, near]] {
        _ = try driver.add(readable: buffers, writable: [], indirect: false)
        guest.ring(Queue.transmit)
        _ = try guest.within(.seconds(10), "the frame's buffers") { try guest.pollUsed(Queue.transmit) }
      }
      try guest.expectAlive(network)
      #expect(lines.all.contains { $0.contains("not in memory that devices reach") })
    }
  }

  @Test("Datagrams of any size are sent together, as many as a program may ask for", arguments: [1, 4, 7, 8, 1448] as [UInt16])
  func smallDatagrams(size: UInt16) throws {
    try withCard { guest, network in
      let sent = frame(count: min(34 + 8 + 128 * Int(size), 65_000))
      try guest.sendFrame([header(flags: 1, way: 5, headerLength: 42, size: size, start: 34, offset: 6), sent])
      #expect(network.receive() == header(flags: 1, way: 5, headerLength: 42, size: size, start: 34, offset: 6) + sent)
    }
  }

  @Test("What the driver did not accept is dropped", arguments: [1, 3, 4, 5, 0x81] as [UInt8])
  func withoutFeatures(way: UInt8) throws {
    try withCard(deviceFeatures: ~(NetFeatures.hostTSO4 | NetFeatures.hostTSO6 | NetFeatures.hostUFO | NetFeatures.hostUSO)) {
      guest, network in
      try guest.sendFrame([header(flags: 1, way: way, size: 1448, start: 34, offset: 16), frame(count: 3000)])
      try guest.expectAlive(network)
    }
    try withCard(deviceFeatures: 0) { guest, network in
      try guest.sendFrame([header(flags: 1, start: 34, offset: 16), frame()])
      try guest.sendFrame([plainHeader, frame()])
      #expect(network.receive() == plainHeader + frame())
    }
  }

  @Test("The longest frame is sent") func longest() throws {
    try withCard { guest, network in
      let sent = frame(count: NetRequest.frameLimit)
      try guest.sendFrame([header(flags: 1, way: 1, size: 1448, start: 34, offset: 16), sent])
      #expect(network.receive() == header(flags: 1, way: 1, size: 1448, start: 34, offset: 16) + sent)
    }
  }

  @Test("A chain with only buffers for the device to write, and one of as many buffers as the queue has, do no harm") func chains() throws {
    try withCard { guest, network in
      _ = try guest.perform(Queue.transmit, writable: [100, 1])
      let whole = plainHeader + frame(count: 244)
      try guest.sendFrame(whole.map { [$0] }, indirect: true)
      #expect(network.receive() == whole)
    }
  }

  @Test("A frame waits while the network is full, and nothing is lost or changes its place", arguments: Variant.all)
  func fullNetwork(_ variant: Variant) throws {
    try withCard(variant) { guest, network in
      // More than a socket holds.
      let count = 200
      for index in 0..<count {
        _ = try guest.submit(Queue.transmit, readable: [plainHeader + frame(count: 9000, seed: index)], indirect: false)
      }
      for index in 0..<count { #expect(network.receive() == plainHeader + frame(count: 9000, seed: index)) }
      for _ in 0..<count { _ = try guest.wait(Queue.transmit) }
    }
  }

  @Test("A network that goes away takes the frames, and the guest lives on") func networkGone() throws {
    try withCard { guest, network in
      try guest.expectAlive(network)
      network.disappear()
      for _ in 0..<100 { try guest.sendFrame([plainHeader, frame()]) }
      #expect(try guest.order([0, 0, 1]))
      // The link is down.
      #expect(guest.device.readConfiguration(offset: 6, width: 2) & 1 == 0)
      #expect(guest.interrupt.record.configurationChanges == 1)
    }
  }

  @Test("A broken ring asks for a reset, and the other direction goes on", arguments: Variant.all) func brokenRing(_ variant: Variant)
    throws
  {
    try withCard(variant) { guest, network in
      _ = try guest.drivers[Queue.transmit].add(readable: [GuestBuffer(address: 4096, count: 0)], writable: [], indirect: false)
      guest.ring(Queue.transmit)
      #expect(try guest.waitForReset().hasPrefix("queue 1: "))
      _ = try guest.drivers[Queue.receive].submit(writable: [2048])
      guest.ring(Queue.receive)
      #expect(network.send(plainHeader + frame()))
      let used = try guest.within(.seconds(10), "a frame", stopsAtReset: false) { try guest.drivers[Queue.receive].poll() }
      #expect(used.written == 72)
      guest.device.reset()
      try guest.activate()
      _ = try guest.submit(Queue.transmit, readable: [plainHeader, frame()])
      #expect(network.receive() == plainHeader + frame())
    }
  }
}
