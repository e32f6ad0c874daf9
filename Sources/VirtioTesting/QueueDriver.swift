public import GuestMemory
public import Virtio

/// A request that a driver made available, with the buffers it lent to the device.
public struct Request: Hashable, Sendable {
  /// The head, or the buffer ID of a packed ring.
  public let id: UInt16
  /// What the device reads.
  public let readable: [GuestBuffer]
  /// What the device writes.
  public let writable: [GuestBuffer]
}

/// A request that the device has used.
public struct UsedElement: Hashable, Sendable {
  /// The head, or the buffer ID of a packed ring.
  public let id: UInt16
  /// How many bytes the device says it wrote.
  public let written: UInt32

  /// Gathers the values.
  public init(id: UInt16, written: UInt32) {
    self.id = id
    self.written = written
  }
}

/// When a driver wants interrupts (virtio 1.2, sections 2.7.7, 2.7.10 and 2.8.10).
public enum InterruptWish: Hashable, Sendable {
  /// After each used buffer, or, with event indices, after the next one.
  case next
  /// Never; with event indices of a split ring, as late as can be said.
  case never
  /// With event indices: when the ring entry `count` places behind the next one is used. Otherwise as `next`.
  case after(UInt16)
}

/// The driver's side of one queue in guest memory, good or hostile.
public protocol QueueDriver: AnyObject {
  /// What a driver would program into the transport.
  var configuration: QueueConfiguration { get }
  /// Where buffers and indirect tables come from.
  var heap: GuestHeap { get set }
  /// The number of requests that the device has not used yet.
  var outstanding: Int { get }

  /// Makes buffers available, without telling the device.
  ///
  /// - Parameters:
  ///   - readable: What the device shall read, any number of pieces.
  ///   - writable: What the device shall write.
  ///   - indirect: Whether the descriptors go to a table of their own.
  /// - Throws: `full` when the ring or the heap has no room.
  func add(readable: [GuestBuffer], writable: [GuestBuffer], indirect: Bool) throws -> Request

  /// Takes the next used element; `nil` when there is none.
  ///
  /// - Throws: `badUsed` when the device's entry is none that a device may write.
  func poll() throws -> UsedElement?

  /// Whether the device wants a doorbell for what was added since the last call.
  func wantsDoorbell() throws -> Bool

  /// Says when interrupts are wanted.
  func wish(_ wish: InterruptWish) throws

  /// Writes any values into a descriptor of the ring.
  func write(_ descriptor: RawDescriptor, at index: Int) throws

  /// Writes a table of descriptors into the heap and returns its address.
  func writeTable(_ descriptors: [RawDescriptor]) throws -> UInt64
}

extension QueueDriver {
  /// The guest memory that the driver works in.
  public var memory: GuestMemory { heap.memory }

  /// Copies data into guest memory and makes it available, together with room for answers.
  ///
  /// - Parameters:
  ///   - readable: The content of each buffer for the device to read.
  ///   - writable: The size of each buffer for the device to write.
  ///   - indirect: Whether the descriptors go to a table of their own.
  public func submit(readable: [[UInt8]] = [], writable: [Int] = [], indirect: Bool = false) throws -> Request {
    if outstanding == 0 { heap.reset() }
    var lent: [GuestBuffer] = []
    for content in readable {
      let address = try heap.allocate(UInt64(content.count))
      try memory.write(content, at: GuestAddress(address))
      lent.append(GuestBuffer(address: address, count: UInt32(content.count)))
    }
    let room = try writable.map { count in
      let address = try heap.allocate(UInt64(count))
      try memory.slice(GuestAddress(address), count: UInt64(count)).fill(0)
      return GuestBuffer(address: address, count: UInt32(count))
    }
    return try add(readable: lent, writable: room, indirect: indirect)
  }

  /// The first `count` bytes of all writable buffers of a request together.
  public func written(_ request: Request, count: UInt32) throws -> [UInt8] {
    var bytes: [UInt8] = []
    for buffer in request.writable {
      let length = min(Int(buffer.count), Int(count) - bytes.count)
      bytes += try memory.read(count: length, at: GuestAddress(buffer.address))
    }
    return bytes
  }

  /// The descriptors for a request, linked by `link` as table entries from zero on.
  func table(readable: [GuestBuffer], writable: [GuestBuffer]) -> [RawDescriptor] {
    let buffers = readable.map { ($0, UInt16(0)) } + writable.map { ($0, RawDescriptor.Flag.write) }
    return buffers.enumerated().map { index, buffer in
      let isLast = index == buffers.count - 1
      return RawDescriptor(
        address: buffer.0.address, length: buffer.0.count, flags: buffer.1 | (isLast ? 0 : RawDescriptor.Flag.next),
        link: isLast ? 0 : UInt16(truncatingIfNeeded: index + 1))
    }
  }
}
