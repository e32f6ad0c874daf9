internal import GuestMemory
internal import Virtio
public import VirtioTesting
public import VsockDevice

/// The guest's side of a socket device: sends packets, and keeps the receive queue filled with buffers, which it uses again and again.
public final class VsockGuest {
  /// A packet that came from the device.
  public struct Received: Equatable, Sendable {
    /// Its header.
    public let packet: VsockPacket
    /// Its payload.
    public let payload: [UInt8]
  }

  /// The guest's address in all tests.
  public static let context: UInt32 = 3

  /// The queues.
  public let driver: ActivatedDevice
  /// What the guest says of its room; of a small guest, little.
  public var allocation: UInt32 = 256 << 10
  private var posted: [UInt16: GuestBuffer] = [:]
  private var rest: [GuestBuffer] = []

  /// Begins with a device that was just activated.
  ///
  /// - Parameters:
  ///   - bufferSize: The size of each receive buffer, at least 1.
  ///   - buffers: How many there are; with none, call `post` later.
  public init(_ driver: ActivatedDevice, bufferSize: Int = 4096, buffers: Int = 64) throws {
    self.driver = driver
    try post(bufferSize: bufferSize, buffers: buffers)
  }

  /// Adds receive buffers.
  public func post(bufferSize: Int, buffers: Int) throws {
    for _ in 0..<buffers {
      let address = try driver.drivers[0].heap.allocate(UInt64(bufferSize))
      rest.append(GuestBuffer(address: address, count: UInt32(bufferSize)))
    }
    try refill()
  }

  /// How many receive buffers the device has.
  public var outstanding: Int { driver.drivers[0].outstanding }

  /// Takes what comes back without using it again.
  public var keepsBuffers = true

  private func refill() throws {
    let queue = driver.drivers[0]
    while let buffer = rest.last, queue.outstanding < Int(queue.configuration.size) {
      rest.removeLast()
      let request = try queue.add(readable: [], writable: [buffer], indirect: false)
      posted[request.id] = buffer
    }
    if try queue.wantsDoorbell() { driver.ring(0) }
  }

  // MARK: Packets

  /// A packet of a connection.
  public func packet(_ operation: UInt16, from port: UInt32, to hostPort: UInt32, kind: UInt16 = VsockPacket.Kind.stream) -> VsockPacket {
    var packet = VsockPacket()
    packet.source = UInt64(VsockGuest.context)
    packet.destination = VsockPacket.hostContext
    packet.sourcePort = port
    packet.destinationPort = hostPort
    packet.kind = kind
    packet.operation = operation
    packet.allocation = allocation
    return packet
  }

  /// Sends a packet and waits until the device has taken it.
  public func send(_ packet: VsockPacket, payload: [UInt8] = []) throws { try send(bytes: packet.bytes + payload) }

  /// Sends any bytes as a packet.
  public func send(bytes: [UInt8]) throws {
    let split = min(bytes.count, VsockPacket.size)
    let pieces = [Array(bytes[..<split]), Array(bytes[split...])].filter { !$0.isEmpty }
    _ = try driver.perform(1, readable: pieces)
  }

  /// The next packet of the device; nil when there is none now.
  public func poll() throws -> Received? {
    let queue = driver.drivers[0]
    while true {
      var used = try queue.poll()
      if used == nil {
        try queue.wish(.next)
        used = try queue.poll()
      }
      guard let used else { return nil }
      guard let buffer = posted.removeValue(forKey: used.id) else { throw TestingError.badUsed("receive buffer \(used.id)") }
      guard used.written <= buffer.count else { throw TestingError.badUsed("\(used.written) bytes in a buffer of \(buffer.count)") }
      let bytes = try driver.memory.read(count: Int(used.written), at: GuestAddress(buffer.address))
      if keepsBuffers { rest.append(buffer) }
      try refill()
      // Buffers that are too small come back empty.
      guard let packet = VsockPacket(bytes: bytes) else { continue }
      guard packet.source == VsockPacket.hostContext, packet.destination == UInt64(VsockGuest.context) else {
        throw TestingError.badUsed("a packet from \(packet.source) to \(packet.destination)")
      }
      guard Int(packet.length) == bytes.count - VsockPacket.size else { throw TestingError.badUsed("a packet whose length lies") }
      return Received(packet: packet, payload: Array(bytes[VsockPacket.size...]))
    }
  }

  /// Waits for the next packet.
  public func receive() throws -> Received { try driver.within(.seconds(10), "a packet") { try poll() } }

  /// Waits for the next packet that is of an operation; those before it are lost.
  public func receive(_ operation: UInt16) throws -> Received {
    while true {
      let received = try receive()
      if received.packet.operation == operation { return received }
    }
  }
}
