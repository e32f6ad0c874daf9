internal import Platform
internal import Synchronization
internal import Virtio

/// The thread of one pair of queues, there while the pair is served.
final class NetWorker: PairServer {
  private struct State {
    var thread: PThread?
    var command: WorkerCommand?
  }

  private let name: String
  private let channel: any FrameChannel
  private let state = Mutex(State())

  /// - Parameters:
  ///   - name: The thread's name.
  ///   - channel: The pair's way into the network.
  init(name: String, channel: any FrameChannel) {
    self.name = name
    self.channel = channel
  }

  deinit {
    stop()
    join()
  }

  func begin(_ pair: QueuePair, _ activation: VirtioActivation, _ shared: NetShared, isUsed: Bool, onFailure: @escaping FailureHandler)
    throws
  {
    let command = try WorkerCommand()
    let service = Handover<NetService>(try NetService(pair, channel: channel, shared: shared, command: command))
    let thread = try PThread(name: name) {
      guard let service = service.take() else { return }
      do { try service.run() } catch { onFailure(error) }
    }
    state.withLock { $0 = State(thread: thread, command: command) }
  }

  /// Wakes the thread, which looks at everything anew: a channel that comes into use has frames, perhaps.
  func use(_ isUsed: Bool) { state.withLock { $0.command }?.event.signal() }

  func stop() { state.withLock { $0.command }?.give(.drain) }

  func join() {
    let thread = state.withLock { state in
      state.command = nil
      return state.thread.take()
    }
    thread?.join()
  }
}
