internal import GuestMemory
internal import Platform
internal import Synchronization
internal import Virtio

/// Serves the entropy device's queue at a bounded rate.
enum EntropyWorker {
  private struct State {
    var pieces: [GuestSlice] = []
    var rate: TokenBucket
  }

  /// Starts the worker.
  static func start(_ queue: VirtQueue, configuration: EntropyConfiguration, suspended: Bool) throws(SystemError) -> QueueWorker {
    let timer = try TimerFD()
    let rate = max(configuration.bytesPerSecond, EntropyRequest.limit)
    let state = Mutex(State(rate: TokenBucket(perSecond: rate, burst: rate / 16)))
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
