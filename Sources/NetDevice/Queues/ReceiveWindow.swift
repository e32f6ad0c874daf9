internal import GuestMemory
internal import Platform
internal import Virtio

/// Chains that the driver has made available for received frames, taken from the queue in advance and lined up for the kernel.
///
/// How long a frame is, is known only when it is there. So as many chains as the longest needs are lined up, a frame takes those it fills,
/// and the others stay for the next.
struct ReceiveWindow {
  /// A chain that was taken.
  private struct Taken {
    let id: UInt16
    let byteCount: Int
    let buffers: Int
  }

  private let queue: VirtQueue
  /// How many bytes to line up.
  private let target: Int
  /// The most chains.
  private let chainLimit: Int
  /// The buffers of all chains.
  let buffers: FrameBuffers
  private var chains: [Taken] = []
  /// How many of `chains` at its start are used up.
  private var first = 0
  private var chain = DescriptorChain()

  /// - Parameters:
  ///   - isMergeable: Whether a frame may fill several chains.
  ///   - target: How many bytes to line up, where there are so many.
  ///   - spillBytes: The size of the device's own memory behind the chains.
  init(queue: VirtQueue, isMergeable: Bool, target: Int, spillBytes: Int) throws(SystemError) {
    self.queue = queue
    self.target = target
    chainLimit = isMergeable ? Int(queue.size) : 1
    buffers = try FrameBuffers(spillBytes: spillBytes)
  }

  var isEmpty: Bool { first == chains.count }

  /// The number of bytes in all chains.
  var byteCount: Int { buffers.byteCount }

  /// Whether no more chains can be lined up, whatever the driver makes available.
  var isFull: Bool { chains.count - first >= chainLimit || !buffers.hasRoom(for: Int(queue.size)) || byteCount >= target }

  /// Lines up chains until there are enough, or no more are available. Those that have no room for a header are given back.
  ///
  /// - Returns: How many were given back.
  mutating func fill() throws(QueueError) -> Int {
    var useless = 0
    // No more than the ring holds, for those given back may come again at once.
    while !isFull, useless < Int(queue.size), try queue.next(into: &chain) {
      guard chain.writableBytes >= UInt64(NetHeader.size) else {
        queue.complete(chain.id, written: 0)
        useless += 1
        continue
      }
      for slice in chain.writable { buffers.append(slice) }
      // Fits: at most 2^32.
      chains.append(Taken(id: chain.id, byteCount: Int(chain.writableBytes), buffers: chain.writable.count))
    }
    return useless
  }

  /// How many chains the first `count` bytes take; more than there are where these do not suffice.
  func chainsNeeded(for count: Int) -> Int {
    var left = count
    for index in first..<chains.count {
      left -= chains[index].byteCount
      if left <= 0 { return index - first + 1 }
    }
    return chains.count - first + 1
  }

  /// Gives the first chains to the driver, all at once, with `count` bytes written from their start on without a gap.
  mutating func deliver(chains number: Int, bytes count: Int) {
    var left = count
    for index in first..<min(first + number, chains.count) {
      let taken = chains[index]
      let length = min(left, taken.byteCount)
      queue.stage(taken.id, written: UInt32(clamping: length))
      left -= length
      remove(taken)
    }
    queue.publish()
    first = min(first + number, chains.count)
    forgetUsed()
  }

  private func remove(_ taken: Taken) {
    for index in 0..<taken.buffers { buffers.slice(index)?.markWritten() }
    buffers.removeFirst(taken.buffers)
  }

  private mutating func forgetUsed() {
    if first == chains.count {
      chains.removeAll(keepingCapacity: true)
      first = 0
    } else if first >= 64 {
      chains.removeFirst(first)
      first = 0
    }
  }

  /// Gives all chains back to the queue, as if they had never been taken. One behind which others were used already goes to the driver
  /// instead, empty.
  ///
  /// - Returns: Whether there were such.
  mutating func putBack() -> Bool {
    var hasUsed = false
    for index in (first..<chains.count).reversed() where !queue.putBack(chains[index].id) {
      queue.complete(chains[index].id, written: 0)
      hasUsed = true
    }
    chains.removeAll(keepingCapacity: true)
    first = 0
    buffers.removeAll()
    return hasUsed
  }
}
