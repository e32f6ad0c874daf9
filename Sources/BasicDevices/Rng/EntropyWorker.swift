internal import GuestMemory
internal import Platform
internal import Synchronization
internal import Virtio

/// Serves the entropy device's queue at a bounded rate.
enum EntropyWorker {
  private struct State {
    var pieces: [GuestSlice] = []
    var rate: RateLimit
  }

  /// Starts the worker.
  static func start(_ queue: VirtQueue, configuration: EntropyConfiguration, suspended: Bool) throws(SystemError) -> QueueWorker {
    let timer = try TimerFD()
    let state = Mutex(State(rate: RateLimit(unitsPerSecond: max(configuration.bytesPerSecond, EntropyRequest.limit))))
    let service = QueueWorker.Service(queue) { chain, _ in
      state.withLock { state in
        if let delay = state.rate.delay(now: monotonicNanoseconds()) {
          timer.start(after: delay)
          return .later
        }
        do throws(EntropyError) {
          let written = try EntropyRequest.fill(chain, pieces: &state.pieces)
          state.rate.spend(UInt64(written))
          return .done(written: written)
        } catch { return .failed(error.description) }
      }
    }
    let worker = try QueueWorker(name: "virtio_rng", services: [service], suspended: suspended)
    let index = queue.index
    try worker.watch(timer.number) { [weak worker] _ in
      timer.drain()
      worker?.serve(queue: index)
    }
    return worker
  }
}

/// Says when one has spent more than a second allows, counted in spans of a sixteenth of a second.
struct RateLimit {
  private static let span: UInt64 = 1_000_000_000 / 16
  private let unitsPerSpan: UInt64
  private var spent: UInt64 = 0
  private var end: UInt64 = 0

  init(unitsPerSecond: UInt64) { unitsPerSpan = max(unitsPerSecond / 16, 1) }

  /// How many nanoseconds to wait before more may be spent; `nil` when it may be now.
  mutating func delay(now: UInt64) -> UInt64? {
    if now >= end {
      end = now &+ RateLimit.span
      spent = 0
    }
    return spent < unitsPerSpan ? nil : end &- now
  }

  mutating func spend(_ units: UInt64) { spent &+= units }
}
