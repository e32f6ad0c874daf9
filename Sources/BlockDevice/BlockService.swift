internal import DiskImage
internal import GuestMemory
internal import Logging
internal import Platform
internal import Synchronization
internal import Virtio

/// The loop of a thread that serves queues: takes requests, passes them to the disk, answers them as they end, and sleeps in the disk's
/// channel.
///
/// Everything that a request needs is reserved for each slot when the loop begins; nothing is allocated while it runs.
final class BlockService {
  /// What all queues of a device share.
  struct Shared: Sendable {
    let image: any DiskImage
    let id: [UInt8]
    let isReadOnly: Bool
    let features: UInt64
    let cache: WriteCache
    let logger: Logger
    let failures: FailureCount
    let limiter: RateLimiter?

    /// What a request may be: the disk's size may change at any time.
    var rules: BlockRules {
      BlockRules(sectorCount: image.size / BlockRequest.sectorSize, isReadOnly: isReadOnly, features: features)
    }
  }

  /// A request under way.
  private struct Slot {
    var kind = Kind.flush
    /// The queue that it came from.
    var queue: UInt8 = 0
    /// Whether a write, discard or write-zeroes request ends only when all of it is on stable storage.
    var isDurable = false
    /// The ranges of a discard or write-zeroes request, and how many are done.
    var ranges: [BlockRange] = []
    var rangesDone = 0

    enum Kind { case read, write, flush, discard, writeZeroes }
  }

  private var queues: QueueSet
  private let channel: any DiskChannel
  private let shared: Shared
  private let command: WorkerCommand
  private let lender: Handover<IOUring>
  private let ring: IOUring?
  private var chains: [DescriptorChain]
  private var slots: [Slot]
  private var free: [Int]
  /// Whether the driver will ring when it makes something available, in any queue.
  private var isArmed = false
  /// Wakes the thread when the disk's limits allow more; there where there are limits.
  private let turn: TimerFD?
  /// What was given back since the driver was last told.
  private var hold = InterruptModeration()

  /// - Parameters:
  ///   - depth: How many requests may be under way at most.
  ///   - lender: Lends the ring, for as many requests, until the service has run, or was not made.
  init(queues: QueueSet, memory: GuestMemory, shared: Shared, command: WorkerCommand, depth: Int, lender: Handover<IOUring>) throws {
    let depth = min(depth, queues.size)
    self.queues = queues
    self.shared = shared
    self.command = command
    chains = [DescriptorChain](repeating: DescriptorChain(admitsUnreachable: true), count: depth)
    slots = [Slot](repeating: Slot(), count: depth)
    // The lowest is taken first: few requests touch little memory.
    free = Array((0..<depth).reversed())
    turn = shared.limiter == nil ? nil : try TimerFD()
    self.lender = lender
    ring = lender.take()
    do {
      channel = try shared.image.makeChannel(depth: depth, buffers: memory, ring: ring)
      for event in queues.doorbells + [command.event.number] + (turn.map { [$0.number] } ?? []) { try channel.watch(event) }
    } catch {
      BlockService.give(ring, back: lender)
      throw error
    }
  }

  /// Serves the queues until told otherwise, or until the host fails. Called once, by the thread.
  func run() {
    do {
      try channel.start()
      while try serveOnce() {}
    } catch {
      if shared.failures.isWorthALine() { shared.logger.error("disk stopped: \(error)") }
      queues.fail("the host failed: \(error)")
    }
    channel.end()
    BlockService.give(ring, back: lender)
  }

  /// Gives a ring back, unless requests are in flight in it.
  private static func give(_ ring: IOUring?, back lender: Handover<IOUring>) {
    guard let ring, ring.isAtRest else { return }
    // The channel that used it has ended, and so does this service.
    nonisolated(unsafe) let given = ring
    unsafe lender.give(given)
  }

  /// Goes round once: answers what has ended, begins what is there, interrupts, sleeps.
  ///
  /// - Returns: Whether to go on.
  private func serveOnce() throws -> Bool {
    answerEnded()
    let command = command.current
    if command == .abandon || command == .drain && free.count == slots.count {
      interrupt()
      return false
    }
    if !hold.mayHold { interrupt() }
    // Answers that wait are a reason to look, too: there may be company for them.
    if command == .serve, !isArmed || hold.hasAnswers, try !catchUp() { return true }
    interrupt()
    try channel.wait(mayBlock: true)
    return true
  }

  // MARK: Requests

  /// Begins all requests that are available, and asks for a doorbell when there are no more and all answers are given.
  ///
  /// - Returns: Whether there is nothing left to do but to wait.
  private func catchUp() throws -> Bool {
    isArmed = false
    queues.disableNotifications()
    let begun = beginRequests()
    // However busy the driver keeps us: what was begun reaches the kernel, and what has ended there is fetched.
    if begun, channel.hasEnded || channel.endsSoon || hold.mayHold {
      try channel.wait(mayBlock: false)
      return false
    }
    if channel.hasEnded { return false }
    if mustWait {
      // The timer is as good as a doorbell.
      interrupt()
      isArmed = true
      return true
    }
    // Without a free slot there is nothing to find but a reason to go round for ever.
    if hold.mayHold, !free.isEmpty, hold.linger({ queues.hasNext }) { return false }
    interrupt()
    if free.isEmpty { return true }
    isArmed = !queues.enableNotifications()
    return isArmed
  }

  /// How many requests that end while they are begun are done before what else was begun reaches the kernel, and the answers the driver.
  private static let endedAtOnce = 16

  /// Begins requests that are available: no more than there are slots, for those that are answered at once could go on for ever, and none
  /// after an order to end.
  ///
  /// - Returns: Whether there were any.
  private func beginRequests() -> Bool {
    var ended = 0
    for count in 0..<slots.count {
      guard command.current == .serve, !mustWait, let slot = free.last else {
        // Whatever allows the next request: it is another queue's.
        if count > 0 { queues.endTurn() }
        return count > 0
      }
      guard let queue = queues.next(into: &chains[slot]) else { return count > 0 }
      free.removeLast()
      slots[slot].queue = queue
      begin(slot)
      if channel.hasEnded { ended += 1 }
      if ended == BlockService.endedAtOnce { break }
    }
    return true
  }

  /// Whether the disk's limits forbid to begin another request; the timer runs then.
  private var mustWait: Bool {
    guard let limiter = shared.limiter, let delay = limiter.delay(now: monotonicNanoseconds()) else { return false }
    turn?.start(after: delay)
    return true
  }

  private func begin(_ slot: Int) {
    shared.limiter?.spend(bytes: chains[slot].readableBytes + chains[slot].writableBytes)
    switch BlockRequest(chains[slot], rules: shared.rules) {
    case .read(let offset, let count): transfer(slot, .read, chains[slot].writable, skipping: 0, offset: offset, count: count)
    case .write(let offset, let count):
      transfer(slot, .write, chains[slot].readable, skipping: BlockRequest.headerSize, offset: offset, count: count)
    case .flush:
      slots[slot].kind = .flush
      channel.begin(.flush, slot: slot, offset: 0, count: 0, isDurable: false)
    case .identify(let room): answer(slot, identify(slot, room: room))
    case .discard(let ranges): beginRanges(slot, .discard, ranges)
    case .writeZeroes(let ranges): beginRanges(slot, .writeZeroes, ranges)
    case .answered(let status): answer(slot, status)
    case .unanswerable: release(slot, written: 0)
    }
  }

  /// Passes `count` bytes of the buffers, from byte `skipping` on, to the disk.
  private func transfer(_ slot: Int, _ kind: Slot.Kind, _ buffers: [GuestSlice], skipping: Int, offset: UInt64, count: UInt64) {
    channel.clear(slot: slot)
    var skip = skipping
    var left = count
    for buffer in buffers where left > 0 {
      if skip >= buffer.count {
        skip -= buffer.count
        continue
      }
      let length = Int(min(UInt64(buffer.count - skip), left))
      // In bounds: skip + length <= buffer.count. The memory stays: the channel keeps it until the disk has let go.
      guard unsafe buffer.withUnsafePointer({ unsafe channel.addBuffer($0 + skip, count: length, slot: slot) }) else {
        // More buffers than the configuration space allows (`seg_max`, section 5.2.4).
        return answer(slot, .ioError)
      }
      skip = 0
      left -= UInt64(length)
    }
    slots[slot].kind = kind
    slots[slot].isDurable = kind == .write && !shared.cache.isOn
    channel.begin(
      kind == .read ? .read : .write, slot: slot, offset: offset, count: count, isDurable: slots[slot].isDurable)
  }

  private func identify(_ slot: Int, room: Int) -> BlockStatus {
    var writer = ChainWriter(chains[slot])
    return (try? writer.write(Array(shared.id.prefix(room)))) == nil ? .ioError : .ok
  }

  private func beginRanges(_ slot: Int, _ kind: Slot.Kind, _ ranges: [BlockRange]) {
    slots[slot].kind = kind
    slots[slot].ranges = ranges
    slots[slot].rangesDone = 0
    slots[slot].isDurable = true
    beginNextRange(slot)
  }

  private func beginNextRange(_ slot: Int) {
    let range = slots[slot].ranges[slots[slot].rangesDone]
    let operation = slots[slot].kind == .discard ? DiskOperation.discard : .writeZeroes(mayDiscard: range.mayDiscard)
    let isDurable = !shared.cache.isOn
    if !isDurable { slots[slot].isDurable = false }
    channel.begin(operation, slot: slot, offset: range.offset, count: range.count, isDurable: isDurable)
  }

  // MARK: Answers

  /// Answers all requests that the disk has ended.
  private func answerEnded() {
    while let event = channel.next() {
      switch event {
      case .ended(let slot, let code): end(slot, code: code)
      case .woken: isArmed = false
      }
    }
  }

  /// Interrupts the driver once for all answers since the last time.
  private func interrupt() {
    guard hold.hasAnswers else { return }
    hold.tell { queues.notify() }
  }

  private func end(_ slot: Int, code: Int32) {
    guard code == 0 else { return fail(slot, code) }
    switch slots[slot].kind {
    case .read: for buffer in chains[slot].writable { buffer.markWritten() }
    case .flush: break
    case .write: return settle(slot)
    case .discard, .writeZeroes:
      slots[slot].rangesDone += 1
      return slots[slot].rangesDone < slots[slot].ranges.count ? beginNextRange(slot) : settle(slot)
    }
    answer(slot, .ok)
  }

  /// Answers a request that changed the disk; where the cache was switched off while it was under way, a flush comes first.
  private func settle(_ slot: Int) {
    guard !slots[slot].isDurable, !shared.cache.isOn else { return answer(slot, .ok) }
    slots[slot].kind = .flush
    channel.begin(.flush, slot: slot, offset: 0, count: 0, isDurable: false)
  }

  private func fail(_ slot: Int, _ code: Int32) {
    if shared.failures.isWorthALine() {
      shared.logger.warning("I/O error \(shared.failures.count): \(SystemError("\(slots[slot].kind)", code: code))")
    }
    answer(slot, .ioError)
  }

  /// Writes the status where the request ends, and gives the request back.
  private func answer(_ slot: Int, _ status: BlockStatus) {
    if let last = chains[slot].writable.last { try? last.store(status.rawValue, at: last.count - 1) }
    // All of them, in an error too: the status is behind the data. Of a request that is cut there is a gap before it.
    release(slot, written: chains[slot].isCut ? 0 : UInt32(clamping: chains[slot].writableBytes))
  }

  private func release(_ slot: Int, written: UInt32) {
    queues.complete(chains[slot].id, of: slots[slot].queue, written: written)
    hold.add(bytes: chains[slot].readableBytes + chains[slot].writableBytes)
    chains[slot].trim()
    free.append(slot)
  }
}
