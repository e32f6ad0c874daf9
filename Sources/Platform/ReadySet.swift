internal import CLinux
internal import Glibc

/// Waits on one thread for a handful of descriptors, and says which have become ready (epoll(7), edge-triggered).
///
/// A descriptor is reported once each time it becomes ready, and once at first if it is ready then. So nobody need read an event's count;
/// and who is told that there is something to read goes on reading until there is nothing. What never changes costs no call.
public final class ReadySet: Sendable {
  /// The keys of the descriptors that have become ready.
  public struct Keys: OptionSet, Sendable {
    /// A bit for each key.
    public let rawValue: UInt32
    /// Makes a set of bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// The set of one key, 0...31.
    public init(key: UInt32) { rawValue = 1 << (key & 31) }
  }

  private let epoll: OwnedDescriptor

  /// Makes a set that waits for nothing yet.
  public init() throws(SystemError) {
    epoll = OwnedDescriptor(owning: Int32(try retrying("epoll") { Int(epoll_create1(Int32(EPOLL_CLOEXEC))) }))
  }

  /// Starts to wait for a descriptor, lent by the caller for as long as the set lives.
  ///
  /// - Parameters:
  ///   - descriptor: Not in the set yet.
  ///   - interest: What to wait for.
  ///   - key: What it is called by `wait`; several may share one.
  ///   - end: What it is called besides when the other side has gone, or the descriptor has failed.
  public func add(
    _ descriptor: Int32, _ interest: EventLoop.Interest = .readable, as key: Keys, endingAs end: Keys = []
  ) throws(SystemError) {
    // The kernel's event holds a union with a pointer, which is why naming it is unsafe; only its number is used.
    var event = unsafe epoll_event()
    unsafe event.events = interest.rawValue | EPOLLET.rawValue
    unsafe event.data.u64 = UInt64(end.rawValue) << 32 | UInt64(key.rawValue)
    let set = epoll.number
    if unsafe epoll_ctl(set, EPOLL_CTL_ADD, descriptor, &event) < 0 { throw SystemError.last("wait for descriptor \(descriptor)") }
  }

  /// Waits until something becomes ready, or only looks.
  ///
  /// - Parameter mayBlock: Whether to wait; otherwise the answer may be empty.
  public func wait(mayBlock: Bool) throws(SystemError) -> Keys {
    let capacity = 8
    let set = epoll.number
    return try unsafe withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: capacity) { events throws(SystemError) in
      // The kernel fills as many entries as it counts, and only those are read.
      let ready = try retrying("wait for events") {
        unsafe Int(epoll_wait(set, events.baseAddress, Int32(capacity), mayBlock ? -1 : 0))
      }
      var keys: Keys = []
      for index in 0..<ready {
        let (data, interest) = unsafe (events[index].data.u64, EventLoop.Interest(rawValue: events[index].events))
        keys.formUnion(Keys(rawValue: UInt32(truncatingIfNeeded: data)))
        if !interest.isDisjoint(with: .hungUp) { keys.formUnion(Keys(rawValue: UInt32(truncatingIfNeeded: data >> 32))) }
      }
      return keys
    }
  }
}
