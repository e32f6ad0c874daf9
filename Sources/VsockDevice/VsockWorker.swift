internal import Platform
internal import Synchronization
internal import Virtio

/// The thread that serves a driver's queues and the host's sockets, by one event loop.
///
/// Descriptors are watched for changes only: an event says that something may be done, and the switch then does it until the kernel says
/// that it cannot be done now. So thousands of idle connections cost nothing, and one that nobody can serve does not keep the thread busy.
final class VsockWorker: VsockWatcher {
  private let loop: EventLoop
  private let timer: TimerFD
  /// Has the switch's turn come.
  private let again: EventFD
  /// Whether nothing is to be done. Its lock is held while something is.
  private let isSuspended: Mutex<Bool>
  /// When the timer goes off; nil while it is stopped.
  private let wakeTime = Mutex<UInt64?>(nil)
  private let table: VsockSwitch
  private let thread = Mutex<PThread?>(nil)

  /// Starts the thread.
  init(_ activation: VirtioActivation, table: VsockSwitch, suspended: Bool) throws(SystemError) {
    loop = try EventLoop()
    timer = try TimerFD()
    again = try EventFD()
    isSuspended = Mutex(suspended)
    self.table = table
    // Nobody need take the counts away: each signal is a change.
    try loop.add(again.number, [.readable, .changesOnly]) { _ in }
    try loop.add(timer.number, [.readable, .changesOnly]) { [weak self] _ in self?.wakeTime.withLock { $0 = nil } }
    let queues = activation.queues.compactMap { $0 }
    for queue in queues { try loop.add(queue.doorbell.number, [.readable, .changesOnly]) { _ in } }
    if suspended { table.clock.stop() } else { table.clock.start() }
    try table.begin(activation, watcher: self)
    // The driver may have filled its queues, and rung, before this thread was there.
    again.signal()
    let loop = loop
    let started = try PThread(name: "virtio_vsock") { [weak self] in
      do { try loop.run(afterEvents: { self?.turn() }) } catch { queues.first?.fail("its worker stopped: \(error)") }
    }
    thread.withLock { $0 = started }
  }

  /// Ends the thread and waits for it.
  func stop() {
    loop.stop()
    thread.withLock { $0.take() }?.join()
  }

  /// Waits until nothing is done, and lets nothing be done before `resume`. What changes meanwhile is noted.
  func suspend() {
    isSuspended.withLock { isSuspended in
      isSuspended = true
      table.clock.stop()
    }
  }

  /// Ends `suspend`.
  func resume() {
    isSuspended.withLock { isSuspended in
      isSuspended = false
      table.clock.start()
    }
    again.signal()
  }

  private func turn() {
    let hasMore = isSuspended.withLock { $0 ? false : table.turn() }
    if hasMore { again.signal() }
  }

  // MARK: What the switch asks for, on this thread or before it runs

  func watch(_ descriptor: Int32) throws(SystemError) {
    try loop.add(descriptor, [.readable, .changesOnly]) { [weak self] interest in
      guard let self else { return }
      isSuspended.withLock { _ in table.noted(descriptor, interest) }
    }
  }

  func unwatch(_ descriptor: Int32) { loop.remove(descriptor) }

  func watchRoom(of descriptor: Int32, _ isWanted: Bool) {
    // It is watched, so this does not fail.
    try? loop.modify(descriptor, isWanted ? [.readable, .writable, .changesOnly] : [.readable, .changesOnly])
  }

  func wake(at time: UInt64) {
    wakeTime.withLock { wakeTime in
      guard time < wakeTime ?? .max else { return }
      wakeTime = time
      let now = monotonicNanoseconds()
      timer.start(after: time > now ? time - now : 1)
    }
  }
}
