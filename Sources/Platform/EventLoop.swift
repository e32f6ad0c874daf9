internal import CLinux
internal import Glibc
internal import Synchronization

/// Waits for several descriptors on one thread and calls a handler for each that is ready (epoll(7)).
///
/// Handlers run on the thread that calls `run`, one at a time. They, and other threads, may add and remove descriptors and stop the loop.
public final class EventLoop: Sendable {
  /// What to wait for.
  public struct Interest: OptionSet, Sendable {
    /// The kernel's bits.
    public let rawValue: UInt32
    /// Makes an interest from the kernel's bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// Data, a connection, or an end of file can be read.
    public static let readable = Interest(rawValue: EPOLLIN.rawValue)
    /// Data can be written.
    public static let writable = Interest(rawValue: EPOLLOUT.rawValue)
    /// The other side has gone or the descriptor failed; always reported.
    public static let hungUp = Interest(rawValue: EPOLLHUP.rawValue | EPOLLERR.rawValue)
    /// To be told once of each change, and not again and again while a descriptor is ready.
    public static let changesOnly = Interest(rawValue: EPOLLET.rawValue)
  }

  /// What to do when a descriptor is ready.
  public typealias Handler = @Sendable (Interest) -> Void

  /// One `add` of a descriptor. Its number tells it from earlier ones: descriptors are reused as soon as they are closed, and an event
  /// fetched for the old one must not reach the new one's handler.
  private struct Watch {
    let number: UInt32
    let handler: Handler
  }

  private let epoll: OwnedDescriptor
  private let wake: EventFD
  private let watched = Mutex<[Int32: Watch]>([:])
  private let watches = Atomic<UInt32>(0)
  private let stopping = Atomic<Bool>(false)

  /// Makes a loop that waits for nothing yet.
  public init() throws(SystemError) {
    epoll = OwnedDescriptor(owning: Int32(try retrying("epoll") { Int(epoll_create1(Int32(EPOLL_CLOEXEC))) }))
    wake = try EventFD()
    try control(EPOLL_CTL_ADD, wake.number, .readable, watch: 0)
  }

  private func control(_ operation: Int32, _ descriptor: Int32, _ interest: Interest, watch: UInt32) throws(SystemError) {
    // The kernel's event holds a union with a pointer, which is why naming it is unsafe; only its number is used.
    var event = unsafe epoll_event()
    unsafe event.events = interest.rawValue
    unsafe event.data.u64 = UInt64(watch) << 32 | UInt64(UInt32(bitPattern: descriptor))
    let set = epoll.number
    if unsafe epoll_ctl(set, operation, descriptor, &event) < 0 { throw SystemError.last("wait for descriptor \(descriptor)") }
  }

  /// Starts to watch a descriptor, lent by the caller until `remove`, which must come before it is closed.
  ///
  /// - Throws: `SystemError`; EEXIST when it is watched already, which goes on undisturbed.
  public func add(_ descriptor: Int32, _ interest: Interest = .readable, handler: @escaping Handler) throws(SystemError) {
    let number = watches.add(1, ordering: .relaxed).newValue
    // Under the lock, so that the loop does not look for the handler before it is there.
    try watched.withLock { watched throws(SystemError) in
      try control(EPOLL_CTL_ADD, descriptor, interest, watch: number)
      watched[descriptor] = Watch(number: number, handler: handler)
    }
  }

  /// Changes what a watched descriptor is watched for.
  ///
  /// - Throws: `SystemError`; ENOENT when it is not watched.
  public func modify(_ descriptor: Int32, _ interest: Interest) throws(SystemError) {
    try watched.withLock { watched throws(SystemError) in
      guard let watch = watched[descriptor] else { throw SystemError("wait for descriptor \(descriptor)", code: ENOENT) }
      try control(EPOLL_CTL_MOD, descriptor, interest, watch: watch.number)
    }
  }

  /// Stops watching a descriptor; its handler is not called again, unless it is running on the loop's thread right now.
  public func remove(_ descriptor: Int32) {
    watched.withLock { watched in
      guard let watch = watched.removeValue(forKey: descriptor) else { return }
      try? control(EPOLL_CTL_DEL, descriptor, [], watch: watch.number)
    }
  }

  /// Makes `run` return soon; may be called from any thread and from handlers, before or during `run`.
  public func stop() {
    stopping.store(true, ordering: .releasing)
    wake.signal()
  }

  /// Calls handlers until `stop`; returns at once when stopped before.
  ///
  /// - Parameters:
  ///   - milliseconds: After how long a silence `whenIdle` is called; -1 for never.
  ///   - whenIdle: Called once in each silence that follows an event.
  ///   - afterEvents: Called when the handlers of all events that came together have run.
  public func run(idleAfter milliseconds: Int32 = -1, whenIdle: () -> Void = {}, afterEvents: () -> Void = {}) throws(SystemError) {
    var limit: Int32 = -1
    let capacity = 16
    let set = epoll.number
    var events = unsafe [epoll_event](repeating: epoll_event(), count: capacity)
    while !stopping.load(ordering: .acquiring) {
      let ready = try retrying("wait for events") { unsafe Int(epoll_wait(set, &events, Int32(capacity), limit)) }
      limit = ready > 0 ? milliseconds : -1
      if ready == 0 { whenIdle() }
      for index in 0..<ready where !stopping.load(ordering: .acquiring) {
        let (data, interest) = unsafe (events[index].data.u64, Interest(rawValue: events[index].events))
        let descriptor = Int32(truncatingIfNeeded: data)
        if descriptor == wake.number {
          wake.drain()
        } else if let watch = watched.withLock({ $0[descriptor] }), watch.number == UInt32(truncatingIfNeeded: data >> 32) {
          watch.handler(interest)
        }
      }
      if ready > 0, !stopping.load(ordering: .acquiring) { afterEvents() }
    }
  }
}
