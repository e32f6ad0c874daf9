internal import Platform
internal import Synchronization
internal import Virtio

/// The thread of one pair of queues, there while the pair is served.
final class NetWorker: Sendable {
  private struct State {
    var thread: PThread?
    var command: WorkerCommand?
  }

  private let name: String
  private let state = Mutex(State())

  /// - Parameter name: The thread's name.
  init(name: String) { self.name = name }

  deinit { end() }

  /// Serves a pair of queues until `end`.
  ///
  /// - Parameter onFailure: Called by the thread when the host fails it.
  /// - Throws: When the host refuses what that needs; nothing was begun then.
  func begin(
    receiveQueue: VirtQueue?, transmitQueue: VirtQueue?, channel: any FrameChannel, shared: NetShared,
    onFailure: @escaping @Sendable (SystemError) -> Void
  ) throws(SystemError) {
    let command = try WorkerCommand()
    let service = Handover<NetService>(
      try NetService(
        receiveQueue: receiveQueue, transmitQueue: transmitQueue, channel: channel, shared: shared, command: command))
    let thread = try PThread(name: name) {
      guard let service = service.take() else { return }
      do throws(SystemError) { try service.run() } catch { onFailure(error) }
    }
    state.withLock { $0 = State(thread: thread, command: command) }
  }

  /// Wakes the thread, which looks at everything anew.
  func wake() { state.withLock { $0.command }?.event.signal() }

  /// Tells the thread to end, and to give back what it has taken from the queues; `join` waits for that.
  func stop() { state.withLock { $0.command }?.give(.drain) }

  /// Waits for the thread's end: nothing touches the guest's memory afterwards.
  func join() {
    let thread = state.withLock { state in
      state.command = nil
      return state.thread.take()
    }
    thread?.join()
  }

  /// Ends the thread and waits for that.
  private func end() {
    stop()
    join()
  }
}
