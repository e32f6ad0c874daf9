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
  }

  /// What to do when a descriptor is ready.
  public typealias Handler = @Sendable (Interest) -> Void

  private let epoll: OwnedDescriptor
  private let wake: EventFD
  private let handlers = Mutex<[Int32: Handler]>([:])
  private let stopping = Atomic<Bool>(false)

  /// Makes a loop that waits for nothing yet.
  public init() throws(SystemError) {
    epoll = OwnedDescriptor(owning: Int32(try retrying("epoll") { Int(epoll_create1(Int32(EPOLL_CLOEXEC))) }))
    wake = try EventFD()
    try control(EPOLL_CTL_ADD, wake.number, .readable)
  }

  private func control(_ operation: Int32, _ descriptor: Int32, _ interest: Interest) throws(SystemError) {
    // The kernel's event holds a union with a pointer, which is why naming it is unsafe; only its number is used.
    var event = unsafe epoll_event()
    unsafe event.events = interest.rawValue
    unsafe event.data.fd = descriptor
    let set = epoll.number
    if unsafe epoll_ctl(set, operation, descriptor, &event) < 0 { throw SystemError.last("wait for descriptor \(descriptor)") }
  }

  /// Starts to watch a descriptor, lent by the caller until `remove`.
  public func add(_ descriptor: Int32, _ interest: Interest = .readable, handler: @escaping Handler) throws(SystemError) {
    handlers.withLock { $0[descriptor] = handler }
    do { try control(EPOLL_CTL_ADD, descriptor, interest) } catch {
      _ = handlers.withLock { $0.removeValue(forKey: descriptor) }
      throw error
    }
  }

  /// Changes what a watched descriptor is watched for.
  public func modify(_ descriptor: Int32, _ interest: Interest) throws(SystemError) { try control(EPOLL_CTL_MOD, descriptor, interest) }

  /// Stops watching a descriptor; its handler is not called again, unless it is running on the loop's thread right now.
  public func remove(_ descriptor: Int32) {
    _ = handlers.withLock { $0.removeValue(forKey: descriptor) }
    try? control(EPOLL_CTL_DEL, descriptor, [])
  }

  /// Makes `run` return soon; may be called from any thread and from handlers, before or during `run`.
  public func stop() {
    stopping.store(true, ordering: .releasing)
    wake.signal()
  }

  /// Calls handlers until `stop`; returns at once when stopped before.
  public func run() throws(SystemError) {
    let capacity = 16
    let set = epoll.number
    var events = unsafe [epoll_event](repeating: epoll_event(), count: capacity)
    while !stopping.load(ordering: .acquiring) {
      let ready = try retrying("wait for events") { unsafe Int(epoll_wait(set, &events, Int32(capacity), -1)) }
      for index in 0..<ready where !stopping.load(ordering: .acquiring) {
        let (descriptor, interest) = unsafe (events[index].data.fd, Interest(rawValue: events[index].events))
        if descriptor == wake.number {
          wake.drain()
        } else if let handler = handlers.withLock({ $0[descriptor] }) {
          handler(interest)
        }
      }
    }
  }
}
