internal import GuestMemory
internal import Logging
internal import Platform
internal import Synchronization
internal import Virtio

/// Serves the balloon's queues on one thread.
enum BalloonWorker {
  /// What each queue is for. The driver counts only those that it has accepted the features of (section 5.5.2).
  enum Role {
    case inflate
    case deflate
    case statistics
    case reporting
  }

  /// The roles of the queues, given the accepted features.
  static func roles(_ features: UInt64) -> [Role] {
    var roles = [Role.inflate, .deflate]
    if features & BalloonFeatures.statistics != 0 { roles.append(.statistics) }
    // Linux counts without the queue for hints, which is not offered; the specification counts with it. Either is served.
    if features & BalloonFeatures.pageReporting != 0 { roles += [.reporting, .reporting] }
    return roles
  }

  static func start(
    _ activation: VirtioActivation, statistics: StatisticsExchange, logger: Logger, suspended: Bool
  ) throws(SystemError) -> QueueWorker {
    let log = ReleaseLog(logger: logger)
    let memory = activation.memory
    var services: [QueueWorker.Service] = []
    for (role, queue) in zip(roles(activation.features), activation.queues) {
      guard let queue else { continue }
      services.append(
        QueueWorker.Service(queue, budget: 16) { chain, queue in
          do throws(ChainError) {
            switch role {
            case .inflate:
              for range in try BalloonRequest.ranges(of: chain) { log.release(GuestAddress(range.address), range.count, of: memory) }
            // The memory comes back when the guest writes it.
            case .deflate: break
            case .statistics:
              statistics.take(try BalloonRequest.statistics(of: chain), chain: chain.id, queue: queue)
              return .pending
            case .reporting:
              for buffer in chain.writable { log.release(buffer.address, UInt64(buffer.count), of: memory) }
            }
            return .done(written: 0)
          } catch { return .failed(error.description) }
        })
    }
    return try QueueWorker(name: "virtio_balloon", services: services, suspended: suspended)
  }
}

/// Gives memory back, and says seldom that it cannot.
private final class ReleaseLog: Sendable {
  private let logger: Logger
  private let failures = FailureCount()

  init(logger: Logger) { self.logger = logger }

  func release(_ address: GuestAddress, _ count: UInt64, of memory: GuestMemory) {
    do { try memory.release(address, count: count) } catch {
      // The driver may name any page any number of times.
      if failures.isWorthALine() { logger.warning("balloon: \(error) (failure \(failures.count))") }
    }
  }
}

/// The one buffer of the statistics queue, which goes to and fro: the device gives it back to ask, the driver fills it to answer.
final class StatisticsExchange: Sendable {
  private struct State {
    var values: [UInt16: UInt64] = [:]
    /// The buffer that waits with the device.
    var waiting: (chain: UInt16, queue: VirtQueue)?
    var answers = 0
  }

  private let state = Mutex(State())

  /// Takes an answer, and keeps its buffer.
  func take(_ values: [UInt16: UInt64], chain: UInt16, queue: VirtQueue) {
    state.withLock { state in
      // A driver that sends a second buffer gets the first one back.
      if let waiting = state.waiting { waiting.queue.complete(waiting.chain, written: 0) }
      state.values = values
      state.waiting = (chain, queue)
      state.answers += 1
    }
  }

  /// The queue is gone.
  func forget() {
    state.withLock { $0 = State(answers: $0.answers + 1) }
  }

  /// Gives the buffer back, on the worker's thread.
  func giveBack() {
    state.withLock { state in
      guard let waiting = state.waiting else { return }
      state.waiting = nil
      waiting.queue.complete(waiting.chain, written: 0)
      waiting.queue.notify()
    }
  }

  /// How many answers there were.
  var count: Int { state.withLock { $0.answers } }

  /// Whether there is a buffer to ask with.
  var canAsk: Bool { state.withLock { $0.waiting != nil } }

  /// The answer, if there is one after the first `count`.
  func answer(after count: Int) -> [UInt16: UInt64]? {
    // Empty where the queue went meanwhile.
    let values = state.withLock { $0.answers > count ? $0.values : [:] }
    return values.isEmpty ? nil : values
  }
}
