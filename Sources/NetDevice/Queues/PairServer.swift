internal import Platform
internal import Virtio

/// A pair of queues as a driver has set it up; `nil` for one that it did not enable.
struct QueuePair: Sendable {
  let receive: VirtQueue?
  let transmit: VirtQueue?

  /// Whether there is nothing to serve.
  var isEmpty: Bool { receive == nil && transmit == nil }
}

/// Who serves one pair of queues: a thread of ours, or the host's kernel. Called by one thread at a time.
protocol PairServer: Sendable {
  /// Serves a pair of queues until `stop`.
  ///
  /// - Parameters:
  ///   - isUsed: Whether the driver uses the pair from the start.
  ///   - onFailure: Called when the host fails, from any thread.
  /// - Throws: When the host refuses what that needs; nothing was begun then.
  func begin(_ pair: QueuePair, _ activation: VirtioActivation, _ shared: NetShared, isUsed: Bool, onFailure: @escaping FailureHandler)
    throws

  /// The driver begins or ceases to use the pair, or its cable is plugged in or pulled.
  func use(_ isUsed: Bool)

  /// Ends soon, and gives back what was taken from the queues; `join` waits for that.
  func stop()

  /// Waits for the end: nothing touches the guest's memory afterwards.
  func join()
}

extension PairServer {
  /// What is told of the host's failure.
  typealias FailureHandler = @Sendable (any Error) -> Void
}
