internal import CLinux
internal import Glibc
internal import Platform

/// A way to a raw image through io_uring: one system call hands over all that was begun, and waits.
///
/// What the kernel would only pass to a helper thread is done at once: copies from and to host memory (an image on tmpfs), and small writes
/// to the page cache where the file system has no asynchronous way for them (ext4, among others). For large ones the helper is welcome.
final class RingChannel: DiskChannel {
  let image: RawImage
  let ring: IOUring
  private let buffers: (any AnyObject & Sendable)?
  var table: TransferTable
  var ended: ReadyList
  private var watched: [Int32] = []
  private var isEnding = false
  /// What the file system turned out not to know, so that it is asked once.
  var lacksPunchHole = false
  var lacksZeroRange = false
  /// Whether the kernel would pass writes to the page cache to a thread of its own; unknown before the first.
  private var writesBlock: Bool?
  /// Zeroes to write; made when first needed.
  var zeroes: MemoryMapping?

  /// Completions with this bit tell of a watched descriptor; those below it of a slot.
  private static let watchToken: UInt64 = 1 << 32
  /// Up to here a copy from or to host memory is not worth a helper thread; above, orders to end must not wait for it.
  private static let smallCopy: UInt64 = 1 << 20
  /// Up to here a copy to the page cache takes less time than waking a helper thread.
  private static let smallWrite: UInt64 = 64 << 10

  init(image: RawImage, depth: Int, buffers: (any AnyObject & Sendable)?, ring: IOUring) throws(DiskError) {
    self.image = image
    self.buffers = buffers
    self.ring = ring
    table = try TransferTable(depth: depth)
    ended = ReadyList(depth: depth)
  }

  var bufferLimit: Int { TransferTable.bufferLimit }

  func watch(_ descriptor: Int32) throws(DiskError) { watched.append(descriptor) }

  func start() throws(DiskError) {
    do {
      try ring.start(buffers: buffers)
      for index in watched.indices { try arm(index) }
    } catch { throw .system(error) }
  }

  private func arm(_ index: Int) throws(SystemError) {
    try ring.pollReadable(watched[index], token: RingChannel.watchToken | UInt64(index))
  }

  func clear(slot: Int) { table.clear(slot) }

  @unsafe func addBuffer(_ start: UnsafeMutableRawPointer, count: Int, slot: Int) -> Bool {
    unsafe table.add(start, count: count, slot: slot)
  }

  func begin(_ operation: DiskOperation, slot: Int, offset: UInt64, count: UInt64, isDurable: Bool) {
    if let code = table.set(slot, operation, image, offset: offset, count: count, isDurable: isDurable) {
      ended.append(slot: slot, code: code)
      return
    }
    do {
      switch operation {
      case .read, .write:
        let isWrite = operation == .write
        if image.isMemory, count <= RingChannel.smallCopy {
          ended.append(slot: slot, code: table.transferAll(slot, isWrite: isWrite, disk: image))
        } else if image.bufferAlignment > 1, !table.buffersAreAligned(slot, to: image.bufferAlignment) {
          ended.append(slot: slot, code: table.transferAll(slot, isWrite: isWrite, disk: image))
        } else if isWrite, !isDurable, !image.options.isDirect, count <= RingChannel.smallWrite, blocksOnWrite(slot) {
          ended.append(slot: slot, code: table.transferAll(slot, isWrite: true, disk: image))
        } else {
          try queueTransfer(slot, isWrite: isWrite)
        }
      case .flush: try ring.synchronizeData(image.number, token: UInt64(slot))
      case .discard, .writeZeroes: try beginAllocation(slot)
      }
    } catch { ended.append(slot: slot, code: error.code) }
  }

  /// Whether a write to the page cache has no other way than to wait for it, in this thread or in one of the kernel's.
  private func blocksOnWrite(_ slot: Int) -> Bool {
    if let writesBlock { return writesBlock }
    // Written twice where it is not refused, with the same bytes or, where the guest changes them meanwhile, with newer ones.
    let result = unsafe image.writeWithoutWaiting(vectors: table.vectors(slot), offset: table.transfers[slot].offset)
    writesBlock = result == -Int(EOPNOTSUPP)
    return result == -Int(EOPNOTSUPP)
  }

  var hasEnded: Bool { ended.count > 0 }

  var endsSoon: Bool { !image.options.isDirect }

  func next() -> DiskEvent? {
    if let event = ended.takeFirst() { return event }
    while let completion = ring.next() {
      if completion.token < RingChannel.watchToken {
        let slot = Int(completion.token)
        guard let code = isEnding ? ECANCELED : settle(slot, completion.result) else { continue }
        return .ended(slot: slot, code: code)
      }
      let index = Int(completion.token & (RingChannel.watchToken - 1))
      guard completion.token != .max, watched.indices.contains(index) else { continue }
      // The kernel ends a poll when it runs out of room for completions.
      if !completion.continues, completion.result >= 0, !isEnding { try? arm(index) }
      return .woken(index)
    }
    return nil
  }

  func wait(mayBlock: Bool) throws(DiskError) {
    let blocks = mayBlock && ended.count == 0
    // In deferred mode the kernel tells of what has ended only when it is entered.
    guard blocks || ring.hasQueued || ring.inFlight > watched.count else { return }
    do { try ring.submit(waitingFor: blocks ? 1 : 0) } catch { throw .system(error) }
  }

  func end() {
    isEnding = true
    ring.endAll()
    ended.removeAll()
  }
}
