import GuestMemory
import Testing
import Virtio
import VirtioTesting

@Suite("Ring indices")
struct IndexTests {
  @Test("an index that jumps ahead of the queue's size is refused", arguments: [9, 10, 0x7fff, 0x8000, 0xffff] as [UInt16])
  func jump(index: UInt16) throws {
    let bench = try QueueBench(.split)
    try (bench.driver as? SplitDriver)?.setAvailableIndex(index)
    #expect(bench.refusal() == .indexJump(from: 0, to: index, size: 8))
  }

  @Test("an index that goes back is refused")
  func back() throws {
    let bench = try QueueBench(.split)
    let split = try #require(bench.driver as? SplitDriver)
    _ = try split.submit(readable: [[1]])
    _ = try split.submit(readable: [[1]])
    _ = try bench.take()
    _ = try bench.take()
    try split.setAvailableIndex(1)
    #expect(bench.refusal() == .indexJump(from: 2, to: 1, size: 8))
  }

  @Test("an index that jumps while the device waits is refused too")
  func jumpAtEnable() throws {
    let bench = try QueueBench(.split)
    try (bench.driver as? SplitDriver)?.setAvailableIndex(9)
    #expect(throws: QueueError.indexJump(from: 0, to: 9, size: 8)) { try bench.queue.enableNotifications() }
    #expect(bench.queue.isBroken)
    #expect(try bench.queue.enableNotifications() == false)
  }

  @Test("a head beyond the table is refused", arguments: [8, 9, 0x8000, 0xffff] as [UInt16])
  func headOutOfTable(head: UInt16) throws {
    let bench = try QueueBench(.split)
    try (bench.driver as? SplitDriver)?.publish(head)
    #expect(bench.refusal() == .badDescriptorIndex(UInt32(head), entries: 8))
  }

  @Test("a head made available twice is refused while it is in flight", arguments: Format.allCases)
  func twiceInFlight(format: Format) throws {
    let bench = try QueueBench(format)
    let request = try bench.driver.submit(readable: [[1]])
    _ = try bench.take()
    if let split = bench.driver as? SplitDriver { try split.publish(request.id) }
    if let packed = bench.driver as? PackedDriver {
      try packed.publish([RawDescriptor(address: 0x1000, length: 1, link: request.id)])
    }
    #expect(bench.refusal() == .alreadyInFlight(request.id))
  }

  @Test("a head may come again as soon as it was used", arguments: Format.allCases)
  func againAfterUse(format: Format) throws {
    let bench = try QueueBench(format, size: 1)
    for _ in 0..<5 {
      let request = try bench.driver.submit(readable: [[1]])
      let chain = try bench.take()
      #expect(chain.id == request.id)
      #expect(bench.queue.complete(chain.id, written: 0))
      #expect(try bench.driver.poll()?.id == request.id)
    }
  }

  @Test("a buffer ID beyond the queue's size is refused", arguments: [8, 9, 0xffff] as [UInt16])
  func badBufferID(id: UInt16) throws {
    let bench = try QueueBench(.packed)
    #expect(try bench.refusal([RawDescriptor(address: 0x1000, length: 1, link: id)]) == .badBufferID(id, size: 8))
  }

  @Test("a packed chain that would run into entries still in flight is refused")
  func packedOverrun() throws {
    let bench = try QueueBench(.packed, size: 4)
    _ = try bench.driver.submit(readable: [[1], [2], [3]])
    _ = try bench.take()
    let packed = try #require(bench.driver as? PackedDriver)
    try packed.publish([
      RawDescriptor(address: 0x1000, length: 1, flags: RawDescriptor.Flag.next, link: 3),
      RawDescriptor(address: 0x1000, length: 1, link: 3),
    ])
    #expect(bench.refusal() == .chainTooLong(limit: 1))
  }

  @Test("all entries of a queue may be in flight together, and end in any order", arguments: Format.allCases)
  func fullRing(format: Format) throws {
    let bench = try QueueBench(format)
    let ids = try (0..<8).map { _ in try bench.driver.submit(writable: [1]).id }
    #expect(throws: TestingError.full("the ring")) { try bench.driver.submit(writable: [1]) }
    for _ in ids { _ = try bench.take() }
    #expect(bench.refusal() == nil)
    for id in ids.reversed() { #expect(bench.queue.complete(id, written: UInt32(id))) }
    for id in ids.reversed() { #expect(try bench.driver.poll() == UsedElement(id: id, written: UInt32(id))) }
    #expect(try bench.driver.poll() == nil)
  }

  @Test("what is not in flight cannot be completed", arguments: Format.allCases)
  func completeTwice(format: Format) throws {
    let bench = try QueueBench(format)
    _ = try bench.driver.submit(readable: [[1]])
    #expect(!bench.queue.complete(0, written: 0))
    let chain = try bench.take()
    #expect(bench.queue.complete(chain.id, written: 0))
    #expect(!bench.queue.complete(chain.id, written: 0))
    #expect(!bench.queue.complete(0xffff, written: 0))
    #expect(try bench.driver.poll() != nil)
    #expect(try bench.driver.poll() == nil)
  }

  @Test("a chain that was put back is taken again, and first", arguments: Format.allCases, [false, true])
  func putBack(format: Format, indirect: Bool) throws {
    let bench = try QueueBench(format)
    let first = try bench.driver.submit(readable: [[1], [2]], indirect: indirect)
    let second = try bench.driver.submit(readable: [[3]])
    #expect(try bench.take().id == first.id)
    #expect(bench.queue.putBack(first.id))
    #expect(!bench.queue.putBack(first.id))
    #expect(try bench.take().id == first.id)
    #expect(try bench.take().id == second.id)
    #expect(!bench.queue.putBack(first.id))
    #expect(bench.queue.putBack(second.id))
    #expect(try bench.take().readableBytes == 1)
    bench.queue.complete(second.id, written: 0)
    #expect(!bench.queue.putBack(second.id))
  }

  @Test("one look at the driver's index serves a whole batch")
  func batch() throws {
    let bench = try QueueBench(.split)
    let split = try #require(bench.driver as? SplitDriver)
    for _ in 0..<3 { _ = try split.submit(readable: [[1]]) }
    _ = try bench.take()
    // Even a wrong index is not seen before the batch ends.
    try split.setAvailableIndex(100)
    _ = try bench.take()
    _ = try bench.take()
    #expect(bench.refusal() == .indexJump(from: 3, to: 100, size: 8))
  }

  @Test("a state survives its encoding, and nonsense is refused")
  func stateEncoding() throws {
    let state = QueueState(nextAvailable: 0x1234, nextUsed: 0xfffe, availableWrap: false, usedWrap: true)
    #expect(try QueueState(encoded: state.encoded) == state)
    #expect(state.encoded.count == QueueState.encodedSize)
    #expect(throws: QueueError.self) { try QueueState(encoded: []) }
    #expect(throws: QueueError.self) { try QueueState(encoded: [0, 0, 0, 0, 1]) }
    #expect(throws: QueueError.self) { try QueueState(encoded: [0, 0, 0, 0, 2, 1]) }
  }

  @Test("a state with requests in flight or outside the ring is refused", arguments: Format.allCases)
  func badState(format: Format) throws {
    let bench = try QueueBench(format)
    #expect(throws: QueueError.self) { try bench.queue.restore(QueueState(nextAvailable: 3, nextUsed: 2)) }
    if format == .packed {
      #expect(throws: QueueError.self) { try bench.queue.restore(QueueState(nextAvailable: 8, nextUsed: 8)) }
      #expect(throws: QueueError.self) {
        try bench.queue.restore(QueueState(nextAvailable: 1, nextUsed: 1, availableWrap: true, usedWrap: false))
      }
    }
  }

  @Test("a queue goes on elsewhere from its state, and tells the driver once in any case", arguments: Format.allCases)
  func moveElsewhere(format: Format) throws {
    let bench = try QueueBench(format, size: 4)
    for _ in 0..<6 {
      _ = try bench.driver.submit(readable: [[1], [2]])
      bench.queue.complete(try bench.take().id, written: 0)
      _ = try bench.driver.poll()
    }
    let other = try VirtQueue(
      index: 0, configuration: bench.driver.configuration, memory: bench.memory,
      features: QueueBench.usual | (format == .packed ? VirtioFeatures.packedRing : 0), doorbell: bench.queue.doorbell,
      interrupt: bench.interrupt)
    try other.restore(QueueState(encoded: bench.queue.state.encoded))
    let before = bench.signals
    try bench.driver.wish(.never)
    other.notify()
    #expect(bench.signals == before + 1)
    other.notify()
    #expect(bench.signals == before + 1)
    let request = try bench.driver.submit(readable: [[7]])
    var chain = DescriptorChain()
    #expect(try other.next(into: &chain))
    #expect(other.complete(chain.id, written: 0))
    #expect(try bench.driver.poll()?.id == request.id)
  }
}
