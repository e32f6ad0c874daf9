/// A device's worker, while there is one, and whether the device is held still, also while there is none. Part of a device's guarded state.
public struct WorkerSlot: Sendable {
  /// The worker of the present activation.
  public private(set) var worker: QueueWorker?
  /// Whether workers serve nothing, those that come included.
  public private(set) var isSuspended = false

  /// Makes an empty slot that is not held still.
  public init() {}

  /// Keeps a worker, started with `isSuspended`.
  public mutating func fill(_ worker: QueueWorker) { self.worker = worker }

  /// Gives the worker up, for its `stop`; nil where there is none.
  public mutating func take() -> QueueWorker? { worker.take() }

  /// Holds the device still.
  public mutating func suspend() {
    isSuspended = true
    worker?.suspend()
  }

  /// Ends `suspend`.
  public mutating func resume() {
    isSuspended = false
    worker?.resume()
  }
}
