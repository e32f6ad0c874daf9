import GuestMemory
import NetDevice
import NetTesting
import Platform
import Testing
import Virtio
import VirtioTesting

@Suite struct ReceiveTests {
  @Test("A frame fills as many buffers as it needs, and says how many", arguments: Variant.all)
  func merged(_ variant: Variant) throws {
    try withCard(variant) { guest, network in
      try guest.offer([Int](repeating: 1000, count: 80))
      for (count, buffers) in [(60, 1), (988, 1), (989, 2), (1514, 2), (65553, 66)] {
        #expect(
          network.send(header(flags: 1, way: count > 60000 ? 1 : 0, size: 1448, start: 34, offset: 16) + frame(count: count, seed: count)))
        let received = try guest.receiveFrame()
        #expect(received.bytes == frame(count: count, seed: count) && received.buffers == buffers)
        #expect(received.header.prefix(10) == header(flags: 1, way: count > 60000 ? 1 : 0, size: 1448, start: 34, offset: 16).prefix(10))
      }
    }
  }

  @Test("A frame waits for buffers when there are too few", arguments: Variant.all) func waitsForBuffers(_ variant: Variant) throws {
    try withCard(variant) { guest, network in
      // The buffers come one by one, and the last three after another frame is there, too.
      #expect(network.send(plainHeader + frame(count: 5000, seed: 1)))
      #expect(network.send(plainHeader + frame(count: 700, seed: 2)))
      for size in [500, 30, 12, 2000, 1] {
        try guest.offer([size])
        #expect(size == 1 || guest.interrupt.record.resetReasons.isEmpty)
      }
      // A buffer without room for a header came back with nothing.
      #expect(try guest.wait(Queue.receive).written == 0)
      try guest.offer([4000])
      let first = try guest.receiveFrame()
      #expect(first.bytes == frame(count: 5000, seed: 1) && first.buffers == 5)
      try guest.offer([1000])
      #expect(try guest.receiveFrame().bytes == frame(count: 700, seed: 2))
    }
  }

  @Test("A frame that no ring of such buffers holds is dropped, and the next is received", arguments: Variant.all)
  func ringTooSmall(_ variant: Variant) throws {
    let lines = LogLines()
    try withCard(variant, queueSizes: [8, 8, 8], logger: lines.logger) { guest, network in
      try guest.offer([Int](repeating: 100, count: 8))
      #expect(network.send(plainHeader + frame(count: 789, seed: 1)))
      #expect(network.send(plainHeader + frame(count: 788, seed: 2)))
      let received = try guest.receiveFrame()
      #expect(received.bytes == frame(count: 788, seed: 2) && received.buffers == 8)
      #expect(lines.all.count == 1 && lines.all[0].contains("buffers are too small"))
    }
  }

  @Test("Without merging, a frame that does not fit its buffer is dropped, and the buffer takes the next") func notMerged() throws {
    let lines = LogLines()
    try withCard(deviceFeatures: ~NetFeatures.mergeableBuffers, logger: lines.logger) { guest, network in
      try guest.offer([1000, 2000, 11])
      #expect(network.send(plainHeader + frame(count: 989, seed: 1)))
      #expect(network.send(plainHeader + frame(count: 988, seed: 2)))
      let first = try guest.receiveFrame()
      #expect(first.bytes == frame(count: 988, seed: 2) && first.buffers == 1)
      #expect(network.send(plainHeader + frame(count: 1988, seed: 3)))
      #expect(try guest.receiveFrame().bytes == frame(count: 1988, seed: 3))
      #expect(try guest.wait(Queue.receive).written == 0)
      #expect(lines.all.contains { $0.contains("buffers are too small") } && lines.all.contains { $0.contains("room for a header") })
    }
  }

  @Test("Buffers cut into single bytes are filled", arguments: [true, false]) func singleBytes(isIndirect: Bool) throws {
    try withCard { guest, network in
      for _ in 0..<3 { _ = try guest.submit(Queue.receive, writable: [Int](repeating: 1, count: 80), indirect: isIndirect) }
      #expect(network.send(plainHeader + frame(count: 100, seed: 4)))
      let received = try guest.receiveFrame()
      #expect(received.bytes == frame(count: 100, seed: 4) && received.buffers == 2)
    }
  }

  @Test("One-byte buffers come back at once, however many, and frames are received after them") func oneByteBuffers() throws {
    try withCard { guest, network in
      #expect(network.send(plainHeader + frame(seed: 5)))
      for _ in 0..<5 {
        try guest.offer([Int](repeating: 1, count: 256))
        for _ in 0..<256 { #expect(try guest.wait(Queue.receive).written == 0) }
      }
      _ = try guest.submit(Queue.receive, readable: [[1, 2, 3]])
      #expect(try guest.wait(Queue.receive).written == 0)
      try guest.offer([2048])
      #expect(try guest.receiveFrame().bytes == frame(seed: 5))
    }
  }

  @Test("A full network behind an empty ring, and a full ring before an empty network: it goes on", arguments: Variant.all)
  func fullAndEmpty(_ variant: Variant) throws {
    try withCard(variant) { guest, network in
      for round in 0..<3 {
        var sent = 0
        while network.send(plainHeader + frame(count: 1500, seed: sent &+ round)) { sent += 1 }
        #expect(sent > 5)
        // And the transmit direction is full at the same time.
        var queued = 0
        while (try? guest.submit(Queue.transmit, readable: [plainHeader + frame(count: 1500, seed: queued)])) != nil { queued += 1 }
        #expect(queued == 256)
        for index in 0..<sent {
          try guest.offer([2048])
          #expect(try guest.receiveFrame().bytes == frame(count: 1500, seed: index &+ round))
        }
        for index in 0..<queued { #expect(network.receive() == plainHeader + frame(count: 1500, seed: index)) }
        for _ in 0..<queued { _ = try guest.wait(Queue.transmit) }
      }
      try guest.offer([Int](repeating: 2048, count: 256))
      for index in 0..<256 {
        #expect(network.send(plainHeader + frame(seed: index)))
        #expect(try guest.receiveFrame().bytes == frame(seed: index))
      }
    }
  }

  @Test("Frames longer than any packet are dropped") func tooLong() throws {
    try withCard { guest, network in
      try guest.offer([Int](repeating: 4096, count: 32))
      #expect(network.send(plainHeader + frame(count: NetRequest.frameLimit + 1)))
      #expect(network.send(plainHeader + frame(count: 100_000)))
      #expect(network.send(plainHeader + frame(seed: 1)))
      #expect(try guest.receiveFrame().bytes == frame(seed: 1))
    }
  }

  @Test("A message that is shorter than a header is dropped") func tooShort() throws {
    try withCard { guest, network in
      try guest.offer([2048])
      #expect(network.send([1, 2, 3]))
      #expect(network.send(plainHeader + frame(seed: 1)))
      #expect(try guest.receiveFrame().bytes == frame(seed: 1))
    }
  }

  @Test("A guest that takes no checksums sees no flags") func noChecksums() throws {
    try withCard(deviceFeatures: ~NetFeatures.guestChecksum) { guest, network in
      try guest.offer([2048])
      #expect(network.send(header(flags: 2) + frame()))
      #expect(try guest.receiveFrame().header[0] == 0)
    }
    try withCard { guest, network in
      try guest.offer([2048])
      #expect(network.send(header(flags: 2) + frame()))
      #expect(try guest.receiveFrame().header[0] == 2)
    }
  }

  @Test("Frames that came before the driver said that it completes none are dropped, not passed on with work undone") func untaken() throws
  {
    let lines = LogLines()
    // VIRTIO_NET_HDR_GSO_TCPV4, TCPV6, UDP, ECN, UDP_L4.
    let segments: [(UInt8, UInt64)] = [
      (1, NetFeatures.guestTSO4), (4, NetFeatures.guestTSO6), (3, NetFeatures.guestUFO), (0x81, NetFeatures.guestECN),
      (5, NetFeatures.guestUSO4 | NetFeatures.guestUSO6),
      (0, NetFeatures.guestChecksum), (0x7f, 0),
    ]
    for (kind, feature) in segments {
      try withCard(deviceFeatures: ~feature, logger: lines.logger) { guest, network in
        try guest.offer([2048, 2048])
        #expect(network.send(header(flags: 1, way: kind, size: 1448, start: 34, offset: 16) + frame(seed: 1)))
        #expect(network.send(plainHeader + frame(seed: 2)))
        #expect(try guest.receiveFrame().bytes == frame(seed: 2), "kind \(kind)")
      }
    }
    #expect(lines.all.count == segments.count && lines.all.allSatisfy { $0.contains("would have to complete") })
    // The same when the driver changes its mind.
    try withCard { guest, network in
      #expect(try guest.order([5, 0] + littleEndian(NetFeatures.guestChecksum)))
      try guest.offer([2048, 2048])
      #expect(network.send(header(flags: 1, way: 1, size: 1448, start: 34, offset: 16) + frame(seed: 1)))
      #expect(network.send(header(flags: 1, start: 34, offset: 16) + frame(seed: 2)))
      #expect(try guest.receiveFrame().bytes == frame(seed: 2))
    }
  }

  @Test("A frame is written where the guest's memory says it was written") func dirtyPages() throws {
    let memory = try GuestMemory(regions: [(GuestAddress(0), 32 << 20)], tracksWrites: true)
    let network = try FakeNetwork()
    try withActivatedDevice(NetDevice(mac: guestMAC, backend: network), memory: memory) { guest in
      let request = try guest.submit(Queue.receive, writable: [16384])
      // The fill of the buffer by the driver, and its taking by the device.
      try guest.sendFrame([plainHeader, frame()])
      _ = memory.takeDirtyPages(regionIndex: 0)
      #expect(network.send(plainHeader + frame(count: 9000)))
      _ = try guest.receiveFrame()
      let pages = memory.takeDirtyPages(regionIndex: 0)
      let first = Int(request.writable[0].address / 4096)
      for page in first...first + 2 { #expect(pages[page / 8] & 1 << UInt8(page % 8) != 0) }
    }
  }
}
