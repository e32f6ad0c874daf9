import Glibc
import GuestMemory
import NetTesting
import Platform
import Testing
import Virtio
import VirtioTesting

@testable import NetDevice

/// The other end of a stream of frames.
private final class StreamPeer: Sendable {
  let backend: StreamBackend
  private let socket: DescriptorBox

  init() throws {
    let (ours, theirs) = try socketPair(SOCK_STREAM)
    backend = try StreamBackend(ours)
    socket = theirs
  }

  /// Writes bytes, all of them.
  func write(_ bytes: [UInt8]) {
    var left = bytes[...]
    while !left.isEmpty {
      let count = unsafe left.withUnsafeBytes { unsafe Glibc.write(socket.number, $0.baseAddress, $0.count) }
      if count > 0 { left = left.dropFirst(count) } else if !waitFor(POLLOUT) { break }
    }
  }

  /// Reads so many bytes, or until the end.
  func read(_ count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      var piece = [UInt8](repeating: 0, count: count - bytes.count)
      let got = unsafe Glibc.read(socket.number, &piece, piece.count)
      if got == 0 { break }
      if got > 0 { bytes += piece.prefix(got) } else if !waitFor(POLLIN) { break }
    }
    return bytes
  }

  /// Whether something happens before long; nothing waits for ever.
  private func waitFor(_ event: Int32) -> Bool {
    var watched = pollfd(fd: socket.number, events: Int16(event), revents: 0)
    return unsafe poll(&watched, 1, 60_000) > 0
  }

  /// Makes what is under way little.
  func narrow() {
    var size: Int32 = 4096
    for descriptor in [socket.number, backend.channels[0].descriptor] {
      for option in [SO_SNDBUF, SO_RCVBUF] {
        unsafe _ = setsockopt(descriptor, SOL_SOCKET, option, &size, socklen_t(MemoryLayout<Int32>.size))
      }
    }
  }

  func close() { shutdown(socket.number, Int32(SHUT_RDWR)) }
}

private func withStream(_ variant: Variant = Variant.all[0], _ body: (ActivatedDevice, StreamPeer) throws -> Void) throws {
  let peer = try StreamPeer()
  let device = NetDevice(mac: guestMAC, backend: peer.backend, logger: silent)
  try withActivatedDevice(device, features: variant.features) { try body($0, peer) }
}

extension ActivatedDevice {
  /// Waits until the card says that it has no link (virtio 1.2, section 5.1.4).
  fileprivate func expectNoLink() throws {
    _ = try within(.seconds(10), "a card without a link") { device.readConfiguration(offset: 6, width: 2) & 1 == 0 ? true : nil }
  }
}

/// A frame behind its length.
private func prefixed(_ frame: [UInt8]) -> [UInt8] { littleEndian(UInt32(frame.count)).reversed() + frame }

@Suite struct StreamTests {
  @Test("Frames go each way behind their lengths", arguments: Variant.all) func both(_ variant: Variant) throws {
    try withStream(variant) { guest, peer in
      for count in [14, 60, 1514, 9000, NetRequest.frameLimit] {
        let sent = frame(count: count, seed: count)
        try guest.sendFrame([plainHeader, sent])
        #expect(peer.read(4 + count) == prefixed(sent))
        try guest.offer([Int](repeating: 4096, count: count / 4096 + 1))
        peer.write(prefixed(sent))
        let received = try guest.receiveFrame()
        #expect(received.bytes == sent && Array(received.header.prefix(10)) == [UInt8](repeating: 0, count: 10))
      }
    }
  }

  @Test("No offloads are offered: whole checksums, no segments") func features() throws {
    let peer = try StreamPeer()
    let device = NetDevice(mac: guestMAC, backend: peer.backend, logger: silent)
    #expect(device.features & (NetFeatures.checksum | NetFeatures.hostTSO4 | NetFeatures.guestTSO4 | NetFeatures.multipleQueues) == 0)
  }

  @Test("A frame that comes byte by byte is received once, whole; many that come at once are many") func pieces() throws {
    try withStream { guest, peer in
      try guest.offer([2048, 2048, 2048, 2048])
      let slow = frame(count: 99, seed: 1)
      for byte in prefixed(slow) { peer.write([byte]) }
      #expect(try guest.receiveFrame().bytes == slow)
      let many = (0..<3).map { frame(count: 100 + $0, seed: $0) }
      peer.write(Array(many.map(prefixed).joined()))
      for expected in many { #expect(try guest.receiveFrame().bytes == expected) }
    }
  }

  @Test("A stream that is full loses nothing: what it took in part goes on, even when the guest sends no more") func full() throws {
    try withStream { guest, peer in
      peer.narrow()
      // Far more than the socket holds: the last ones wait in the ring, and one is half sent.
      let frames = (0..<40).map { frame(count: 9000 + $0, seed: $0) }
      for each in frames { _ = try guest.submit(Queue.transmit, readable: [plainHeader, each]) }
      for expected in frames { #expect(peer.read(4 + expected.count) == prefixed(expected)) }
      for _ in frames { #expect(try guest.wait(Queue.transmit).written == 0) }
    }
  }

  @Test("Frames wait in the stream while the guest has no buffers") func noBuffers() throws {
    try withStream { guest, peer in
      let frames = (0..<50).map { frame(count: 1000 + $0, seed: $0) }
      let writer = try PThread(name: "writer") { [bytes = Array(frames.map(prefixed).joined())] in peer.write(bytes) }
      for expected in frames {
        try guest.offer([2048])
        #expect(try guest.receiveFrame().bytes == expected)
      }
      writer.join()
    }
  }

  @Test(
    "A peer that breaks the rules, or is gone, is heard no more; the guest goes on",
    arguments: [[0, 0, 0, 0], [255, 255, 255, 255], [0, 1, 0, 18], [0x80, 0, 0, 1, 1, 1]] as [[UInt8]])
  func wrongLength(bytes: [UInt8]) throws {
    try withStream { guest, peer in
      try guest.offer([2048])
      peer.write(bytes + prefixed(frame()))
      for seed in 0..<20 { try guest.sendFrame([plainHeader, frame(seed: seed)]) }
      #expect(try guest.poll(Queue.receive) == nil)
    }
    try withStream { guest, peer in
      peer.close()
      for seed in 0..<20 { try guest.sendFrame([plainHeader, frame(seed: seed)]) }
    }
  }

  @Test("A peer that goes takes the link down, though the guest has given no buffer and sends nothing") func goneUnheard() throws {
    try withStream { guest, peer in
      try guest.sendFrame([plainHeader, frame()])
      #expect(guest.device.readConfiguration(offset: 6, width: 2) & 1 == 1)
      // Frames that nobody takes hide the end behind them.
      peer.write(prefixed(frame()))
      peer.close()
      try guest.expectNoLink()
    }
  }

  @Test("What a peer sent before it went is received, and then the link goes down") func lastFrames() throws {
    try withStream { guest, peer in
      try guest.offer([2048, 2048, 2048])
      peer.write(prefixed(frame(seed: 1)) + prefixed(frame(seed: 2)))
      peer.close()
      for seed in 1...2 { #expect(try guest.receiveFrame().bytes == frame(seed: seed)) }
      try guest.expectNoLink()
    }
  }

  @Test("A send that finds the peer gone says so for good") func sendFindsLoss() throws {
    let peer = try StreamPeer()
    let channel = peer.backend.channels[0]
    let buffers = try FrameBuffers()
    buffers.begin(with: NetHeader())
    let memory = try GuestMemory(regions: [(GuestAddress(0), 4096)])
    buffers.append(try memory.slice(GuestAddress(0), count: 60))
    #expect(channel.send(buffers) == .done(72) && !channel.isLost)
    peer.close()
    #expect(channel.send(buffers) == .gone && channel.isLost)
  }

  @Test("Forwarded ports are read, and written for passt") func forwards() {
    #expect(PortForward("tcp:8080:80") == PortForward(.tcp, hostPort: 8080, guestPort: 80))
    #expect(PortForward("udp:53") == PortForward(.udp, hostPort: 53, guestPort: 53))
    #expect(PortForward("tcp:127.0.0.1:2222:22") == PortForward(.tcp, address: IPv4Address("127.0.0.1"), hostPort: 2222, guestPort: 22))
    for (text, specification) in [
      ("tcp:8080:80", "8080:80"), ("udp:53", "53:53"), ("tcp:127.0.0.1:2222:22", "127.0.0.1/2222:22"),
    ] {
      #expect(PortForward(text)?.specification == specification)
    }
    for wrong in [
      "", "tcp", "tcp:", "tcp:0", "tcp:65536", "tcp:1:0", "sctp:1", "tcp:1:2:3", "tcp:1.2.3:1", "tcp:a:1", "tcp:+1:1", "8080:80", "tcp::80",
    ] {
      #expect(PortForward(wrong) == nil, "\(wrong)")
    }
  }

  @Test("The user's own network has one pair of queues and no port twice") func configuration() {
    var card = NetConfiguration(.user(forwards: []))
    card.pairCount = 2
    #expect(throws: NetConfigurationError.userPairs(2)) { try card.validate() }
    let forward = PortForward(.tcp, hostPort: 80, guestPort: 80)
    // passt has one place for a port, whatever the addresses: "Overlapping port specifier".
    for address in [nil, "127.0.0.1"] {
      let error = #expect(throws: NetConfigurationError.self) {
        let second = PortForward(.tcp, address: address.flatMap { IPv4Address($0) }, hostPort: 80, guestPort: 81)
        try NetConfiguration(.user(forwards: [forward, second])).validate()
      }
      #expect(error == .forwardedTwice(80) && error?.description.contains("at one address or at all; give another port") == true)
    }
    #expect(throws: Never.self) {
      try NetConfiguration(.user(forwards: [forward, PortForward(.udp, hostPort: 80, guestPort: 80)])).validate()
    }
  }
}
