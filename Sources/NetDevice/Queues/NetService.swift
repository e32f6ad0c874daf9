internal import Platform
internal import Virtio

/// The loop of a pair's thread: sends, receives, and sleeps until the driver or the network has something.
///
/// Everything that frames need is reserved when the loop begins; nothing is allocated while it runs. What wakes the thread is watched by
/// edges, so nobody need read the doorbells' counts: after each edge the thread goes on until there is nothing left.
final class NetService {
  private static let transmitBell = ReadySet.Keys(key: 0)
  private static let receiveBell = ReadySet.Keys(key: 1)
  private static let network = ReadySet.Keys(key: 2)
  private static let order = ReadySet.Keys(key: 3)
  private static let turn = ReadySet.Keys(key: 4)
  private static let networkEnd = ReadySet.Keys(key: 5)

  private var transmitter: NetTransmitter?
  private var receiver: NetReceiver?
  private let channel: any FrameChannel
  private let command: WorkerCommand
  private let onLoss: @Sendable () -> Void
  private let ready: ReadySet
  /// Wakes the thread when the limits allow more; there where there are limits.
  private let timer: TimerFD?
  /// Whether there may be something to send, or to receive, now.
  private var maySend = true
  private var mayReceive = true
  /// Whether a frame waits until the network has room for it.
  private var lacksRoom = false
  /// Whether the network's descriptor has hung up. What it still has is received while there are buffers.
  private var hasHungUp = false
  /// Whether it was said that the network has gone.
  private var hasToldLoss = false
  /// When the timer goes off.
  private var turnAt = UInt64.max
  private var turns = TurnTaking(now: monotonicNanoseconds())

  init(_ pair: QueuePair, channel: any FrameChannel, shared: NetShared, command: WorkerCommand) throws(SystemError) {
    let (receiveQueue, transmitQueue) = (pair.receive, pair.transmit)
    self.channel = channel
    self.command = command
    onLoss = shared.onLoss
    ready = try ReadySet()
    timer = shared.transmitLimiter == nil && shared.receiveLimiter == nil ? nil : try TimerFD()
    transmitter = if let transmitQueue { try NetTransmitter(queue: transmitQueue, channel: channel, shared: shared) } else { nil }
    receiver = if let receiveQueue { try NetReceiver(queue: receiveQueue, channel: channel, shared: shared) } else { nil }
    try ready.add(command.event.number, as: NetService.order)
    if let transmitQueue { try ready.add(transmitQueue.doorbell.number, as: NetService.transmitBell) }
    if let receiveQueue { try ready.add(receiveQueue.doorbell.number, as: NetService.receiveBell) }
    try ready.add(channel.descriptor, [.readable, .writable], as: NetService.network, endingAs: NetService.networkEnd)
    if let timer { try ready.add(timer.number, as: NetService.turn) }
  }

  /// Serves the queues until told otherwise. Called once, by the thread.
  ///
  /// - Throws: When the host fails; the queues are as after an order to end.
  func run() throws(SystemError) {
    defer { receiver?.end() }
    while command.current == .serve {
      if maySend { send() }
      if mayReceive { receive() }
      // While one of them has work, the other must hear of its own.
      let isBusy = maySend || mayReceive
      if maySend && mayReceive { continue }
      note(try ready.wait(mayBlock: !isBusy))
      if !isBusy { takeTurn() }
    }
  }

  /// Notes that the thread was woken, and goes on as it is best to be woken from now on.
  private func takeTurn() {
    let served = (transmitter?.served ?? 0) &+ (receiver?.served ?? 0)
    if turns.woken(served: served, now: monotonicNanoseconds()) { PThread.waitForTurn(turns.waits) }
  }

  private func note(_ keys: ReadySet.Keys) {
    if keys.contains(NetService.turn) { turnAt = .max }
    if keys.contains(NetService.networkEnd) { hasHungUp = true }
    if keys.contains(NetService.network) { channel.sendRest() }
    let isForBoth = !keys.isDisjoint(with: [NetService.turn, NetService.order])
    if isForBoth || keys.contains(NetService.transmitBell) || lacksRoom && keys.contains(NetService.network) { maySend = true }
    if isForBoth || !keys.isDisjoint(with: [NetService.receiveBell, NetService.network]) { mayReceive = true }
  }

  private func send() {
    let rest = transmitter?.serve()
    lacksRoom = rest == .noRoom
    switch rest {
    case .more: break
    case .limited(let delay): wait(delay, &maySend)
    case .nothing, .noRoom, .broken, nil: maySend = false
    }
    tellLoss()
  }

  private func receive() {
    let rest = receiver?.serve()
    switch rest {
    case .more: break
    case .limited(let delay): wait(delay, &mayReceive)
    case .noFrame, .noBuffer, .unused, .broken, nil:
      mayReceive = false
      // The guest takes no more of what there is, so nobody would ever read that it has ended.
      if hasHungUp { channel.hangUp() }
    }
    tellLoss()
  }

  /// Says once that the network has gone, whoever has seen it: the one who sends, the one who receives, or the descriptor itself.
  private func tellLoss() {
    guard channel.isLost, !hasToldLoss else { return }
    hasToldLoss = true
    onLoss()
  }

  /// Lets a direction rest until its limits allow more. Where the other one's turn comes first, both are looked at then.
  private func wait(_ delay: UInt64, _ may: inout Bool) {
    may = false
    // No overflow: a delay is at most 2^63 and a little.
    let end = monotonicNanoseconds() &+ delay
    guard end < turnAt else { return }
    turnAt = end
    timer?.start(after: delay)
  }
}
