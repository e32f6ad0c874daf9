internal import GuestMemory
internal import Platform
internal import Synchronization
internal import Virtio

/// Whether writes may end before they are on stable storage (virtio 1.2, section 5.2.5).
final class WriteCache: Sendable {
  private let state: Atomic<Bool>

  init(isOn: Bool) { state = Atomic(isOn) }

  var isOn: Bool {
    get { state.load(ordering: .relaxed) }
    set { state.store(newValue, ordering: .relaxed) }
  }
}

/// A thread that serves queues, and its ring. Both are there for as long as the device, whatever the driver does: a ring serves the thread
/// that first used it and no other, and no more rings are made once the guest runs.
final class BlockWorker: Sendable {
  /// What the thread and its owner both know.
  private final class Post: Sendable {
    let ring: Handover<IOUring>
    let service = Handover<BlockService>(nil)
    /// Signalled when there is a service to run; without one, the thread ends.
    let begin = Semaphore()
    /// Signalled when the service has ended.
    let done = Semaphore()

    init(_ ring: Handover<IOUring>) { self.ring = ring }

    /// What the thread does.
    func serve() { while runNext() { done.signal() } }

    /// Runs the next service, of which nothing is left afterwards; `false` when there is none any more.
    private func runNext() -> Bool {
      begin.wait()
      guard let service = service.take() else { return false }
      service.run()
      return true
    }
  }

  private struct State {
    var thread: PThread?
    /// What the service that runs looks at.
    var command: WorkerCommand?
  }

  private let name: String
  private let depth: Int
  private let post: Post
  private let state = Mutex(State())

  /// Makes a worker without a thread; the first service gets one.
  ///
  /// - Parameters:
  ///   - name: The thread's name.
  ///   - depth: How many requests may be under way at most.
  ///   - ring: A ring at rest, for as many requests, or nothing. One that an earlier service leaves with requests in flight is not used
  ///     again; plain system calls take its place.
  init(name: String, depth: Int, ring: Handover<IOUring>) {
    self.name = name
    self.depth = depth
    post = Post(ring)
  }

  deinit { quit() }

  /// Ends the thread, after `join`; the next service gets a new one, which a ring does not serve.
  func quit() {
    join()
    guard let thread = state.withLock({ $0.thread.take() }) else { return }
    post.begin.signal()
    thread.join()
  }

  /// Serves queues until `end` and `join`.
  ///
  /// - Parameter queues: None are served by nobody.
  /// - Throws: `DiskError` or `SystemError` when the host refuses what that needs; nothing was begun then.
  func begin(queues: [VirtQueue], memory: GuestMemory, shared: BlockService.Shared) throws {
    guard !queues.isEmpty else { return }
    let command = try WorkerCommand()
    let post = post
    try state.withLock { state in
      if state.thread == nil { state.thread = try PThread(name: name) { post.serve() } }
      post.service.give(
        try BlockService(queues: QueueSet(queues), memory: memory, shared: shared, command: command, depth: depth, lender: post.ring))
      state.command = command
    }
    post.begin.signal()
  }

  /// Tells the service to end; `join` waits for that.
  func end(_ command: WorkerCommand.Command) { state.withLock { $0.command }?.give(command) }

  /// Waits until the service has ended and the disk touches no memory any more.
  func join() {
    if state.withLock({ $0.command.take() }) != nil { post.done.wait() }
  }
}
