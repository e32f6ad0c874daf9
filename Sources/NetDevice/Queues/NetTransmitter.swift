internal import GuestMemory
internal import Platform
internal import Virtio

/// Sends frames of one pair of queues, straight from the driver's buffers.
struct NetTransmitter {
  /// Why `serve` returned.
  enum Rest: Equatable {
    /// The budget is spent: there may be more.
    case more
    /// There is nothing: the doorbell tells when there is.
    case nothing
    /// The network has no room: the channel tells when there is.
    case noRoom
    /// The limits forbid more for so many nanoseconds.
    case limited(UInt64)
    /// The driver broke its queue.
    case broken
  }

  /// The most frames and bytes that are sent before others have their turn.
  private static let budget = (frames: 64, bytes: UInt64(1) << 20)

  private let queue: VirtQueue
  private let channel: any FrameChannel
  private let shared: NetShared
  private let frame: FrameBuffers
  private var chain = DescriptorChain(admitsUnreachable: true)
  private var hold = InterruptHold()
  /// How much was sent in all, as `TurnTaking` counts it.
  private(set) var served: UInt64 = 0

  init(queue: VirtQueue, channel: any FrameChannel, shared: NetShared) throws(SystemError) {
    self.queue = queue
    self.channel = channel
    self.shared = shared
    frame = try FrameBuffers()
  }

  /// Sends what there is.
  mutating func serve() -> Rest {
    defer { interrupt() }
    do { return try send() } catch {
      queue.fail(error)
      return .broken
    }
  }

  private mutating func send() throws(QueueError) -> Rest {
    if queue.isBroken { return .broken }
    queue.disableNotifications()
    var bytes: UInt64 = 0
    for _ in 0..<NetTransmitter.budget.frames {
      if let delay = shared.transmitLimiter?.delay(now: monotonicNanoseconds()) { return .limited(delay) }
      guard try queue.next(into: &chain) else {
        let queue = queue
        // There may be company for what was just sent.
        if bytes > 0, hold.linger({ queue.hasNext }) { continue }
        interrupt()
        guard try queue.enableNotifications() else { return .nothing }
        queue.disableNotifications()
        continue
      }
      guard sendChain() else {
        queue.putBack(chain.id)
        return .noRoom
      }
      queue.complete(chain.id, written: 0)
      hold.add(bytes: chain.readableBytes)
      shared.transmitLimiter?.spend(bytes: chain.readableBytes)
      if !hold.mayHold { interrupt() }
      bytes += chain.readableBytes
      served &+= TurnTaking.work(bytes: chain.readableBytes)
      if bytes >= NetTransmitter.budget.bytes { break }
    }
    return .more
  }

  /// Tells the driver once of all that was sent since the last time.
  private mutating func interrupt() {
    guard hold.hasAnswers else { return }
    hold.reset()
    queue.notify()
  }

  /// Sends the frame of a chain, or drops it.
  ///
  /// - Returns: Whether that is done; otherwise there is no room.
  private func sendChain() -> Bool {
    // The driver was told; what it sends nevertheless goes nowhere.
    guard shared.link.isUp else { return true }
    switch NetRequest(chain, features: shared.features) {
    case .refused(let reason):
      shared.losses.note(.refused(reason))
      return true
    case .send(let header, _):
      frame.removeAll()
      frame.begin(with: header)
      gather()
      switch channel.send(frame) {
      case .done: break
      case .wouldBlock: return false
      case .gone: shared.losses.note(.networkGone)
      case .refused(let code): shared.losses.note(.host(code))
      }
      return true
    }
  }

  /// Lines up the chain's buffers without the driver's header, of which we have a copy that the driver cannot change.
  private func gather() {
    var skip = NetHeader.size
    for buffer in chain.readable {
      if skip >= buffer.count {
        skip -= buffer.count
      } else if skip > 0 {
        // In range, so it does not fail.
        if let rest = try? buffer.slice(skip, count: buffer.count - skip) { frame.append(rest) }
        skip = 0
      } else {
        frame.append(buffer)
      }
    }
  }
}
