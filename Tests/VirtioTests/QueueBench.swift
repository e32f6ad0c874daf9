import GuestMemory
import Platform
import Testing
import Virtio
import VirtioTesting

/// Both formats of a ring, for tests that hold for each.
enum Format: CaseIterable { case split, packed }

/// A queue and the driver at its other end.
struct QueueBench {
  let memory: GuestMemory
  let driver: any QueueDriver
  let queue: VirtQueue
  let interrupt: FakeInterrupt

  /// Where guest memory ends before the hole, and begins after it.
  static let lowEnd: UInt64 = 16 << 20
  static let highBase: UInt64 = 1 << 32

  static let usual = VirtioFeatures.version1 | VirtioFeatures.indirectDescriptors

  static func memory() throws -> GuestMemory {
    try GuestMemory(regions: [(GuestAddress(0), lowEnd), (GuestAddress(highBase), 1 << 20)])
  }

  /// - Parameter start: Where both sides begin: a running index, or a position in a packed ring gone round twice.
  init(
    _ format: Format, size: UInt16 = 8, features: UInt64 = usual, start: Int = 0, memory: GuestMemory? = nil
  ) throws {
    let memory = try memory ?? QueueBench.memory()
    let heap = GuestHeap(memory, base: 0x10000, count: 8 << 20)
    let all = features | (format == .packed ? VirtioFeatures.packedRing : 0)
    let interrupt = try FakeInterrupt()
    switch format {
    case .split: driver = try SplitDriver(size: size, features: all, heap: heap, start: UInt16(start))
    case .packed: driver = try PackedDriver(size: size, features: all, heap: heap, start: start)
    }
    queue = try VirtQueue(
      index: 0, configuration: driver.configuration, memory: memory, features: all, doorbell: EventFD(), interrupt: interrupt)
    self.memory = memory
    self.interrupt = interrupt
    if start != 0 {
      let isSecond = start >= Int(size)
      let place = UInt16(format == .split ? start : start % Int(size))
      let wrap = format == .split || !isSecond
      try queue.restore(QueueState(nextAvailable: place, nextUsed: place, availableWrap: wrap, usedWrap: wrap))
      // The interrupt that follows every restore.
      queue.notify()
    }
  }

  /// Signals since the start, without the one that follows a restore.
  var signals: Int { interrupt.signals() }

  /// The next chain, which a good guest has made available.
  func take() throws -> DescriptorChain {
    var chain = DescriptorChain()
    try #require(try queue.next(into: &chain))
    return chain
  }

  /// What the queue says to a guest that makes these descriptors available, as one chain or as entries of an indirect table.
  func refusal(_ descriptors: [RawDescriptor]) throws -> QueueError? {
    var chain = DescriptorChain()
    return try refusal(descriptors, into: &chain)
  }

  /// As `refusal`, for a device with a chain of its own.
  func refusal(_ descriptors: [RawDescriptor], into chain: inout DescriptorChain) throws -> QueueError? {
    if let split = driver as? SplitDriver {
      for (index, descriptor) in descriptors.enumerated() { try split.write(descriptor, at: index) }
      try split.publish(0)
    } else if let packed = driver as? PackedDriver {
      try packed.publish(descriptors)
    }
    return refusal(into: &chain)
  }

  /// The error of taking the next chain; `nil` when a chain is taken or there is none.
  func refusal() -> QueueError? {
    var chain = DescriptorChain()
    return refusal(into: &chain)
  }

  private func refusal(into chain: inout DescriptorChain) -> QueueError? {
    do {
      _ = try queue.next(into: &chain)
      return nil
    } catch {
      return error
    }
  }
}

extension RawDescriptor {
  static func readable(_ address: UInt64 = 0x1000, _ length: UInt32 = 16, next: UInt16? = nil) -> RawDescriptor {
    RawDescriptor(address: address, length: length, flags: next == nil ? 0 : Flag.next, link: next ?? 0)
  }

  static func writable(_ address: UInt64 = 0x2000, _ length: UInt32 = 16, next: UInt16? = nil) -> RawDescriptor {
    RawDescriptor(address: address, length: length, flags: Flag.write | (next == nil ? 0 : Flag.next), link: next ?? 0)
  }

  static func indirect(_ address: UInt64, entries: Int, flags: UInt16 = 0) -> RawDescriptor {
    RawDescriptor(address: address, length: UInt32(16 * entries), flags: Flag.indirect | flags)
  }
}
