public import Platform
internal import Synchronization

/// One thread that serves queues of a device, and the descriptors that the device waits for besides.
///
/// For each queue it waits for doorbells, takes chains and hands them to the device's handler, with the driver's notifications held back
/// while there is work, and not more than a budget of chains before the other queues have their turn. A driver's mistake makes the device
/// ask for a reset, and the queue is ignored from then on; the others go on.
///
/// All handlers run on this one thread, so what only they use needs no lock. `stop` must be called before the worker is forgotten, not by a handler.
public final class QueueWorker: Sendable {
  /// What a handler did with a chain.
  public enum Outcome: Sendable {
    /// The request is done, and `written` bytes of its writable buffers are filled.
    case done(written: UInt32)
    /// The handler has kept the chain's identifier and completes it later, itself, on this thread, and calls `notify` then.
    case pending
    /// The chain cannot be served yet, for lack of input: it goes back, and the queue rests until `serve` is called for it.
    case later
    /// The device cannot go on with this queue: it asks for a reset.
    case failed(String)
  }

  /// Serves one chain, on the worker's thread.
  public typealias Handler = @Sendable (inout DescriptorChain, VirtQueue) -> Outcome

  /// A queue and what to do with its chains.
  public struct Service: Sendable {
    let queue: VirtQueue
    let budget: Int
    let handler: Handler

    /// Pairs a queue with its handler.
    ///
    /// - Parameters:
    ///   - queue: The queue, which nobody else uses until the worker was stopped.
    ///   - budget: The most chains, at least 1, served before the worker's other queues and descriptors have their turn.
    ///   - handler: Serves one chain.
    public init(_ queue: VirtQueue, budget: Int = 64, handler: @escaping Handler) {
      self.queue = queue
      self.budget = max(1, budget)
      self.handler = handler
    }
  }

  /// A descriptor watched for a device.
  private struct Watch: Sendable {
    var interest: EventLoop.Interest
    let handler: EventLoop.Handler
  }

  private struct Watches {
    var isSuspended = false
    var byDescriptor: [Int32: Watch] = [:]
  }

  /// What the thread works with. Its lock is held while a handler runs, so whoever gets it knows that none does.
  private struct Gate {
    var isSuspended = false
    var chain = DescriptorChain()
    var services: [UInt16: Service] = [:]
  }

  private let loop: EventLoop
  private let gate: Mutex<Gate>
  private let watches = Mutex(Watches())
  private let thread = Mutex<PThread?>(nil)
  private let doorbells: [UInt16: EventFD]

  /// Starts the thread. Chains that are available already are served at once.
  ///
  /// - Parameters:
  ///   - name: The thread's name; the kernel shows its first 15 bytes.
  ///   - services: The queues, no index twice.
  ///   - suspended: Whether to serve nothing before the first `resume`.
  public init(name: String, services: [Service], suspended: Bool = false) throws(SystemError) {
    loop = try EventLoop()
    var byIndex: [UInt16: Service] = [:]
    for service in services { byIndex[service.queue.index] = service }
    doorbells = byIndex.mapValues { $0.queue.doorbell }
    gate = Mutex(Gate(isSuspended: suspended, services: byIndex))
    watches.withLock { $0.isSuspended = suspended }
    for (index, doorbell) in doorbells {
      try loop.add(doorbell.number) { [weak self] _ in self?.answer(index) }
      // The driver may have filled the queue, and rung, before this thread was there.
      doorbell.signal()
    }
    let loop = loop
    let queues = services.map(\.queue)
    let started = try PThread(name: name) {
      do { try loop.run() } catch { queues.first?.fail("its worker stopped: \(error)") }
    }
    thread.withLock { $0 = started }
  }

  deinit { stop() }

  /// Ends the thread and waits for it; a handler that runs is finished first. Further calls do nothing.
  public func stop() {
    loop.stop()
    let ended = thread.withLock { $0.take() }
    ended?.join()
    for doorbell in doorbells.values { loop.remove(doorbell.number) }
    let watched = watches.withLock { watches in
      defer { watches.byDescriptor = [:] }
      return Array(watches.byDescriptor.keys)
    }
    for descriptor in watched { loop.remove(descriptor) }
    // Handlers often hold the device that holds this worker.
    gate.withLock { $0.services = [:] }
  }

  /// Waits until no handler runs, and lets none run before `resume`. Not to be called by a handler.
  public func suspend() {
    gate.withLock { $0.isSuspended = true }
    watches.withLock { watches in
      guard !watches.isSuspended else { return }
      watches.isSuspended = true
      // Not watched at all, for a descriptor that stays ready would keep the thread busy.
      for descriptor in watches.byDescriptor.keys { loop.remove(descriptor) }
    }
  }

  /// Ends `suspend`: queues whose doorbell rang meanwhile are served.
  public func resume() {
    gate.withLock { $0.isSuspended = false }
    watches.withLock { watches in
      guard watches.isSuspended else { return }
      watches.isSuspended = false
      for (descriptor, watch) in watches.byDescriptor {
        try? loop.add(descriptor, watch.interest, handler: guarded(watch.handler))
      }
    }
    for doorbell in doorbells.values { doorbell.signal() }
  }

  /// Serves a queue soon, as if its doorbell had rung: what a handler said `later` to may go on now. From any thread.
  public func serve(queue index: UInt16) { doorbells[index]?.signal() }
}

// MARK: - Descriptors besides the doorbells

extension QueueWorker {
  /// Calls a handler on the worker's thread when a descriptor is ready; lent until `unwatch` or `stop`. From any thread and from handlers.
  public func watch(_ descriptor: Int32, _ interest: EventLoop.Interest = .readable, handler: @escaping EventLoop.Handler)
    throws(SystemError)
  {
    try watches.withLock { (watches: inout Watches) throws(SystemError) in
      if !watches.isSuspended { try loop.add(descriptor, interest, handler: guarded(handler)) }
      watches.byDescriptor[descriptor] = Watch(interest: interest, handler: handler)
    }
  }

  /// Changes what a watched descriptor is watched for.
  public func modifyWatch(_ descriptor: Int32, _ interest: EventLoop.Interest) throws(SystemError) {
    try watches.withLock { (watches: inout Watches) throws(SystemError) in
      guard watches.byDescriptor[descriptor] != nil else { return }
      watches.byDescriptor[descriptor]?.interest = interest
      if !watches.isSuspended { try loop.modify(descriptor, interest) }
    }
  }

  /// Ends `watch`.
  public func unwatch(_ descriptor: Int32) {
    watches.withLock { watches in
      guard watches.byDescriptor.removeValue(forKey: descriptor) != nil, !watches.isSuspended else { return }
      loop.remove(descriptor)
    }
  }

  /// The handler, run only while the worker is not suspended. When it is, the descriptor is about to be removed, and reported again later.
  private func guarded(_ handler: @escaping EventLoop.Handler) -> EventLoop.Handler {
    { [weak self] interest in self?.gate.withLock { if !$0.isSuspended { handler(interest) } } }
  }
}

// MARK: - The worker's thread

extension QueueWorker {
  private func answer(_ index: UInt16) {
    doorbells[index]?.drain()
    gate.withLock { gate in
      // A suspended queue's doorbell rings again at `resume`.
      guard !gate.isSuspended, let service = gate.services[index] else { return }
      serve(service, &gate)
    }
  }

  private func serve(_ service: Service, _ gate: inout Gate) {
    do {
      let wantsMore = try QueueWorker.drain(service, with: &gate.chain)
      service.queue.notify()
      // Others first: the doorbell brings this queue back after them.
      if wantsMore { service.queue.doorbell.signal() }
    } catch {
      service.queue.notify()
      gate.services[service.queue.index] = nil
      loop.remove(service.queue.doorbell.number)
      service.queue.fail(error.description)
    }
  }

  /// A reason to give a queue up.
  private struct Failure: Error { let description: String }

  /// Serves chains until there is none, the budget is spent, or the handler wants to wait.
  ///
  /// - Returns: Whether the budget ended it.
  private static func drain(_ service: Service, with chain: inout DescriptorChain) throws(Failure) -> Bool {
    let queue = service.queue
    queue.disableNotifications()
    for _ in 0..<service.budget {
      guard try take(from: queue, into: &chain) else { return false }
      switch service.handler(&chain, queue) {
      case .done(let written): queue.complete(chain.id, written: written)
      case .pending: break
      case .later:
        queue.putBack(chain.id)
        return false
      case .failed(let reason): throw Failure(description: reason)
      }
    }
    return true
  }

  /// Takes the next chain; when there is none, asks for doorbells again.
  private static func take(from queue: VirtQueue, into chain: inout DescriptorChain) throws(Failure) -> Bool {
    do {
      if try queue.next(into: &chain) { return true }
      guard try queue.enableNotifications() else { return false }
      queue.disableNotifications()
      return try queue.next(into: &chain)
    } catch { throw Failure(description: error.description) }
  }
}
