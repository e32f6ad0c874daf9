internal import Logging
internal import Platform
internal import Virtio

/// Serves a persistent memory device's queue: its thread waits for the host's storage, so that nobody else does.
struct PmemWorker: Sendable {
  /// Puts everything on stable storage; zero or an `errno`.
  let flush: @Sendable () -> Int32
  let logger: Logger
  let failures = FailureCount()

  /// Starts to serve.
  func start(_ queue: VirtQueue, suspended: Bool) throws(SystemError) -> QueueWorker {
    let service = QueueWorker.Service(queue) { chain, _ in
      let request = PmemRequest(chain)
      guard request != .unanswerable else { return .done(written: 0) }
      var writer = ChainWriter(chain)
      // There is room for it: see `PmemRequest`.
      do throws(ChainError) { try writer.write(integer: answer(request).rawValue) } catch { return .failed(error.description) }
      return .done(written: writer.written)
    }
    return try QueueWorker(name: "virtio_pmem", services: [service], suspended: suspended)
  }

  private func answer(_ request: PmemRequest) -> PmemAnswer {
    guard request == .flush else { return .failure }
    let code = flush()
    guard code != 0 else { return .success }
    // A guest may flush any number of times.
    if failures.isWorthALine() {
      logger.warning("what the guest wrote is not on stable storage (failure \(failures.count)): \(SystemError("flush", code: code))")
    }
    return .failure
  }
}
