import GuestMemory
import Testing
import Virtio
import VirtioTesting

@Suite("Descriptor chains")
struct ChainTests {
  @Test("a good guest's request arrives with its buffers in order", arguments: Format.allCases, [false, true])
  func goodRequest(format: Format, indirect: Bool) throws {
    let bench = try QueueBench(format)
    _ = try bench.driver.submit(readable: [[1, 2, 3], [4]], writable: [5, 6], indirect: indirect)
    let chain = try bench.take()
    #expect(chain.readable.map(\.count) == [3, 1])
    #expect(chain.writable.map(\.count) == [5, 6])
    #expect(chain.readableBytes == 4)
    #expect(chain.writableBytes == 11)
    var reader = ChainReader(chain)
    #expect(try reader.readBytes(4) == [1, 2, 3, 4])
  }

  @Test("a request is handed back with the bytes the device wrote", arguments: Format.allCases, [false, true])
  func goodAnswer(format: Format, indirect: Bool) throws {
    let bench = try QueueBench(format)
    let request = try bench.driver.submit(writable: [3, 4], indirect: indirect)
    let chain = try bench.take()
    var writer = ChainWriter(chain)
    try writer.write([9, 8, 7, 6, 5])
    #expect(bench.queue.complete(chain.id, written: writer.written))
    #expect(try bench.driver.poll() == UsedElement(id: request.id, written: 5))
    #expect(try bench.driver.written(request, count: 5) == [9, 8, 7, 6, 5])
  }

  @Test("a chain as long as the queue is taken", arguments: Format.allCases, [false, true])
  func longestChain(format: Format, indirect: Bool) throws {
    let bench = try QueueBench(format, size: 8)
    _ = try bench.driver.submit(readable: (0..<5).map { [$0] }, writable: [1, 1, 1], indirect: indirect)
    let chain = try bench.take()
    #expect(chain.readable.count == 5)
    #expect(chain.writable.count == 3)
  }

  @Test("a descriptor that follows itself is refused")
  func selfLoop() throws {
    let bench = try QueueBench(.split)
    #expect(try bench.refusal([.readable(next: 0)]) == .chainTooLong(limit: 8))
  }

  @Test("two descriptors that follow each other are refused")
  func twoLoop() throws {
    let bench = try QueueBench(.split)
    #expect(try bench.refusal([.readable(next: 1), .readable(next: 0)]) == .chainTooLong(limit: 8))
  }

  @Test("a packed chain without an end is refused")
  func packedEndless() throws {
    let bench = try QueueBench(.packed)
    #expect(try bench.refusal((0..<8).map { _ in .readable(next: 0) }) == .chainTooLong(limit: 8))
  }

  @Test("a next field beyond the table is refused", arguments: [8, 9, 0x7fff, 0xffff] as [UInt16])
  func nextOutOfTable(next: UInt16) throws {
    let bench = try QueueBench(.split)
    #expect(try bench.refusal([.readable(next: next)]) == .badDescriptorIndex(UInt32(next), entries: 8))
  }

  @Test("a buffer without bytes is refused", arguments: Format.allCases)
  func emptyBuffer(format: Format) throws {
    let bench = try QueueBench(format)
    #expect(try bench.refusal([.readable(0x1000, 0)]) == .emptyBuffer(GuestAddress(0x1000)))
  }

  /// Address and length of buffers that are not wholly in guest memory.
  static let outside: [(UInt64, UInt32)] = [
    (QueueBench.lowEnd, 1), (QueueBench.lowEnd - 1, 2), (QueueBench.lowEnd - 4096, 8192), (0, .max), (1, .max),
    (0xfee0_0000, 4), (0xffff_f000, 0x1000), (0xffff_f000, 0x2000), (QueueBench.highBase - 1, 2), (QueueBench.highBase + (1 << 20), 1),
    (QueueBench.highBase + (1 << 20) - 1, 2), (.max, 1), (.max, .max), (.max - 15, 16), (.max - 7, 16), (1 << 63, 16),
  ]

  @Test("a buffer outside guest memory, across the hole, or past the end of addresses is refused", arguments: Format.allCases, outside)
  func outsideBuffer(format: Format, buffer: (UInt64, UInt32)) throws {
    for make in [RawDescriptor.readable, RawDescriptor.writable] {
      let bench = try QueueBench(format)
      #expect(
        try bench.refusal([make(buffer.0, buffer.1, nil)]) == .bufferOutsideMemory(GuestAddress(buffer.0), count: buffer.1))
    }
  }

  @Test("a chain that admits them is cut at buffers outside guest memory", arguments: Format.allCases, outside)
  func cutChain(format: Format, far: (UInt64, UInt32)) throws {
    // Together with `far` not above 2^32 bytes.
    guard far.1 < .max - 100 else { return }
    let bench = try QueueBench(format)
    let outside = GuestBuffer(address: far.0, count: far.1)
    func near(_ count: UInt32) -> GuestBuffer { GuestBuffer(address: 0x1000, count: count) }
    var chain = DescriptorChain(admitsUnreachable: true)
    func take(_ readable: [GuestBuffer], _ writable: [GuestBuffer]) throws -> [[Int]] {
      let request = try bench.driver.add(readable: readable, writable: writable, indirect: false)
      try #require(try bench.queue.next(into: &chain))
      #expect(bench.queue.complete(chain.id, written: 0) && chain.isCut)
      #expect(try bench.driver.poll() == UsedElement(id: request.id, written: 0))
      #expect(chain.readableBytes == chain.readable.reduce(0) { $0 + UInt64($1.count) })
      #expect(chain.writableBytes == chain.writable.reduce(0) { $0 + UInt64($1.count) })
      return [chain.readable.map(\.count), chain.writable.map(\.count)]
    }
    #expect(try take([near(1), outside, near(2)], [near(3), near(4)]) == [[1], [3, 4]])
    #expect(try take([near(1), near(2)], [near(3), outside, near(4)]) == [[1, 2], [4]])
    #expect(try take([outside], [outside, near(4), near(5)]) == [[], [4, 5]])
    #expect(try take([near(1)], [near(2), outside]) == [[1], []])
    // The next one is whole again, and the rules hold for what is out of reach, too.
    _ = try bench.driver.add(readable: [near(1)], writable: [near(2)], indirect: false)
    #expect(try bench.queue.next(into: &chain) && !chain.isCut && chain.writableBytes == 2)
    chain.trim()
    _ = try bench.driver.add(readable: [near(1)], writable: [], indirect: false)
    #expect(try bench.queue.next(into: &chain) && !chain.isCut)
  }

  @Test("the rules hold for buffers outside guest memory, too", arguments: Format.allCases)
  func cutChainRules(format: Format) throws {
    func refusal(_ descriptors: [RawDescriptor]) throws -> QueueError? {
      let bench = try QueueBench(format)
      var chain = DescriptorChain(admitsUnreachable: true)
      return try bench.refusal(descriptors, into: &chain)
    }
    let far = QueueBench.lowEnd
    #expect(try refusal([.writable(far, next: 1), .readable()]) == .readableAfterWritable)
    #expect(try refusal([.writable(far, next: 1), .readable(far)]) == .readableAfterWritable)
    #expect(try refusal([.readable(far, .max, next: 1), .readable(far, 2)]) == .chainTooLarge)
    #expect(try refusal([.readable(far, 0)]) == .emptyBuffer(GuestAddress(far)))
    if format == .split { #expect(try refusal([.readable(far, next: 0)]) == .chainTooLong(limit: 8)) }
  }

  @Test("buffers at the very start and ends of guest memory are taken", arguments: Format.allCases)
  func borderBuffers(format: Format) throws {
    let bench = try QueueBench(format)
    let buffers = [
      GuestBuffer(address: 0, count: 1), GuestBuffer(address: QueueBench.lowEnd - 1, count: 1),
      GuestBuffer(address: QueueBench.highBase, count: 1 << 20),
    ]
    _ = try bench.driver.add(readable: buffers, writable: [], indirect: false)
    #expect(try bench.take().readableBytes == 2 + (1 << 20))
  }

  @Test("a readable buffer behind a writable one is refused", arguments: Format.allCases)
  func wrongOrder(format: Format) throws {
    let bench = try QueueBench(format)
    #expect(try bench.refusal([.writable(next: 1), .readable()]) == .readableAfterWritable)
  }

  @Test("buffers of more than 4 GiB together are refused", arguments: Format.allCases)
  func tooLarge(format: Format) throws {
    let memory = try GuestMemory(regions: [(GuestAddress(0), 5 << 30)])
    let bench = try QueueBench(format, memory: memory)
    #expect(try bench.refusal([.readable(0, .max, next: 1), .readable(0, 2)]) == .chainTooLarge)
    let good = try QueueBench(format, memory: memory)
    #expect(try good.refusal([.readable(0, .max, next: 1), .readable(0, 1)]) == nil)
  }

  @Test("a buffer that lies in its own ring does no harm", arguments: Format.allCases)
  func bufferInRing(format: Format) throws {
    let bench = try QueueBench(format)
    let ring = bench.driver.configuration
    _ = try bench.driver.add(
      readable: [GuestBuffer(address: ring.descriptorArea.rawValue, count: 128)],
      writable: [GuestBuffer(address: ring.descriptorArea.rawValue, count: 128), GuestBuffer(address: ring.deviceArea.rawValue, count: 4)],
      indirect: false)
    let chain = try bench.take()
    var writer = ChainWriter(chain)
    try writer.fill(0xff, count: chain.writableBytes)
    bench.queue.complete(chain.id, written: writer.written)
    bench.queue.notify()
    _ = bench.refusal()
  }

  @Test("unknown flags of a descriptor are ignored")
  func unknownFlags() throws {
    let bench = try QueueBench(.split)
    #expect(try bench.refusal([RawDescriptor(address: 0x1000, length: 1, flags: 0xfff8)]) == nil)
  }

  @Test("a queue that refused a chain gives no further ones and lets those in flight end", arguments: Format.allCases)
  func brokenQueue(format: Format) throws {
    let bench = try QueueBench(format)
    let good = try bench.driver.submit(readable: [[1]])
    let chain = try bench.take()
    if let split = bench.driver as? SplitDriver { try split.publish(99) }
    if let packed = bench.driver as? PackedDriver { try packed.publish([.readable(0x1000, 0)]) }
    let error = try #require(bench.refusal())
    bench.queue.fail(error)
    #expect(bench.queue.isBroken)
    #expect(bench.interrupt.record.resetReasons == ["queue 0: \(error)"])
    #expect(bench.refusal() == nil)
    #expect(bench.queue.complete(chain.id, written: 0))
    #expect(try bench.driver.poll()?.id == good.id)
  }
}
