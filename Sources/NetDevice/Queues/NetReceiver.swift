internal import GuestMemory
internal import Platform
internal import Virtio

/// Receives frames of one pair of queues, straight into the driver's buffers.
struct NetReceiver {
  /// Why `serve` returned.
  enum Rest: Equatable {
    /// The budget is spent: there may be more.
    case more
    /// There is no frame: the channel tells when there is.
    case noFrame
    /// There is no buffer: the doorbell tells when there is.
    case noBuffer
    /// The limits forbid more for so many nanoseconds.
    case limited(UInt64)
    /// The channel gives nothing, until it is used again.
    case unused
    /// The driver broke its queue.
    case broken
  }

  /// The most frames and bytes that are received before others have their turn.
  private static let budget = (frames: 64, bytes: 1 << 20)
  /// How many failures of the host end a turn.
  private static let patience = 8
  /// The longest that a frame and its header can be.
  private static let frameLimit = NetRequest.frameLimit + NetHeader.size

  private let queue: VirtQueue
  private let channel: any FrameChannel
  private let shared: NetShared
  private let isMergeable: Bool
  private var window: ReceiveWindow
  private var filter: FilterReader
  /// How long the frame is that lies in the window's buffers and behind them, and waits for more of them.
  private var waiting: Int?
  /// How much was received in all, as `TurnTaking` counts it.
  private(set) var served: UInt64 = 0

  init(queue: VirtQueue, channel: any FrameChannel, shared: NetShared) throws(SystemError) {
    self.queue = queue
    self.channel = channel
    self.shared = shared
    isMergeable = shared.features & NetFeatures.mergeableBuffers != 0
    window = try ReceiveWindow(
      queue: queue, isMergeable: isMergeable, target: NetReceiver.frameLimit,
      // One byte more than the longest frame, to see what is longer.
      spillBytes: NetReceiver.frameLimit + 1)
    filter = FilterReader(shared.filter)
  }

  /// Receives what there is.
  mutating func serve() -> Rest {
    defer { queue.notify() }
    do { return try receive() } catch {
      queue.fail(error)
      return .broken
    }
  }

  /// Gives up what was taken from the queue: the thread ends.
  mutating func end() {
    if waiting.take() != nil { shared.losses.note(.cutShort) }
    if window.putBack() { queue.notify() }
  }

  private mutating func receive() throws(QueueError) -> Rest {
    if queue.isBroken { return .broken }
    guard shared.link.isUp else { return .unused }
    queue.disableNotifications()
    filter.refresh()
    var (bytes, failures) = (0, 0)
    for _ in 0..<NetReceiver.budget.frames {
      guard try lineUp() else {
        guard try queue.enableNotifications() else { return .noBuffer }
        queue.disableNotifications()
        continue
      }
      if let delay = shared.receiveLimiter?.delay(now: monotonicNanoseconds()) { return .limited(delay) }
      switch channel.receive(window.buffers) {
      case .done(let count):
        shared.receiveLimiter?.spend(bytes: UInt64(count))
        accept(count)
        bytes += count
        served &+= TurnTaking.work(bytes: UInt64(count))
      case .wouldBlock: return .noFrame
      case .gone: return .unused
      case .refused(let code):
        shared.losses.note(.host(code))
        failures += 1
        // Not for ever: the channel tells when there is something new.
        if failures == NetReceiver.patience { return .noFrame }
      }
      if bytes >= NetReceiver.budget.bytes { break }
    }
    return .more
  }

  /// Lines up buffers, and puts what did not fit before into them.
  ///
  /// - Returns: Whether a frame can be received; otherwise there must be more buffers first.
  private mutating func lineUp() throws(QueueError) -> Bool {
    let (known, old) = (window.byteCount, window.buffers.count)
    let useless = try window.fill()
    for _ in 0..<useless { shared.losses.note(.uselessBuffer) }
    guard let length = waiting else { return !window.isEmpty }
    spread(length, knownBytes: known, knownBuffers: old)
    if window.byteCount >= length {
      waiting = nil
      deliver(length)
    } else if window.isFull {
      waiting = nil
      shared.losses.note(.noRoom)
    } else {
      return false
    }
    return try lineUp()
  }

  /// Copies what came behind the buffers that there were into those that have come since.
  private func spread(_ length: Int, knownBytes: Int, knownBuffers: Int) {
    // What lies behind `waitingBase` bytes was received into the device's own memory, from its start on.
    var place = knownBytes
    for index in knownBuffers..<window.buffers.count {
      guard let slice = window.buffers.slice(index), place < length else { return }
      place += window.buffers.copySpilled(from: place - waitingBase, upTo: length - waitingBase, into: slice)
    }
  }

  /// How many bytes the window's buffers had when the waiting frame came.
  private var waitingBase = 0

  /// Takes a frame that has come.
  ///
  /// - Parameter count: Its bytes with the header: as many as the buffers and the memory behind them have, or fewer.
  private mutating func accept(_ count: Int) {
    guard count >= NetHeader.size, count <= NetReceiver.frameLimit else { return shared.losses.note(.tooLong) }
    if count <= window.byteCount {
      deliver(count)
    } else if !isMergeable || window.isFull {
      shared.losses.note(.noRoom)
    } else {
      waiting = count
      waitingBase = window.byteCount
    }
  }

  /// Completes the header of a frame that lies whole in the buffers, and gives it to the driver, if it wants it.
  private mutating func deliver(_ count: Int) {
    guard filter.accepts(window.buffers, count: count) else { return }
    let flags = window.buffers.load16(at: 0)
    guard shared.taken.contains(flags: UInt8(truncatingIfNeeded: flags), segmentation: UInt8(truncatingIfNeeded: flags >> 8)) else {
      return shared.losses.note(.untaken)
    }
    let chains = window.chainsNeeded(for: count)
    // Section 5.1.6.4.1: one where they are not merged, too.
    window.buffers.store16(UInt16(clamping: chains), at: NetHeader.bufferCountOffset)
    if shared.features & NetFeatures.guestChecksum == 0 { window.buffers.store8(0, at: 0) }
    window.deliver(chains: chains, bytes: count)
  }
}
