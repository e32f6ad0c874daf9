internal import GuestMemory
internal import Platform
public import Virtio

/// Makes chains of a fuzzer's bytes, as a device's queue would hand them out.
public enum FuzzChain {
  private static let memory = try? GuestMemory(regions: [(GuestAddress(0), 256 << 10)])

  /// Makes a chain; `nil` when the pieces are too many, or there are none.
  ///
  /// - Parameters:
  ///   - readable: What the device reads.
  ///   - limit: How many bytes of it to take at most, up to 100,000.
  ///   - cut: How many bytes a piece has, from 1; the 32nd piece is the last.
  ///   - writable: The sizes of the pieces that the device writes, together up to 100,000.
  public static func make(readable: ArraySlice<UInt8>, limit: Int = 4096, cut: Int, writable: [Int]) -> DescriptorChain? {
    var pieces: [[UInt8]] = []
    var rest = readable.prefix(limit)
    while !rest.isEmpty, pieces.count < 32 {
      pieces.append(Array(rest.prefix(cut)))
      rest = rest.dropFirst(cut)
    }
    do {
      guard let memory else { return nil }
      // Each run begins with the same memory.
      try memory.slice(GuestAddress(0), count: memory.size).fill(0)
      let driver = try SplitDriver(
        size: 64, features: ActivatedDevice.usualFeatures, heap: GuestHeap(memory, base: 4096, count: memory.size - 4096))
      let queue = try VirtQueue(
        index: 0, configuration: driver.configuration, memory: memory, features: ActivatedDevice.usualFeatures, doorbell: EventFD(),
        interrupt: FakeInterrupt())
      _ = try driver.submit(readable: pieces, writable: writable)
      var chain = DescriptorChain()
      return try queue.next(into: &chain) ? chain : nil
    } catch { return nil }
  }
}
