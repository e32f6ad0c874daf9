internal import CLinux
internal import Glibc

/// A counter in the kernel that one side adds to and the other waits for (eventfd(2)); never blocks.
public final class EventFD: Sendable {
  private let descriptor: OwnedDescriptor

  /// Makes an event with a count of zero.
  public init() throws(SystemError) {
    let number = try retrying("eventfd") { Int(eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))) }
    descriptor = OwnedDescriptor(owning: Int32(number))
  }

  /// Takes an event that another process made; both then signal and wait for the same count.
  public init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// The descriptor, lent: to an epoll set, an irqfd, an ioeventfd.
  public var number: Int32 { descriptor.number }

  /// Adds one to the count. A count at its maximum stays there, which loses nothing: the reader wakes all the same.
  public func signal() {
    var one: UInt64 = 1
    _ = unsafe write(descriptor.number, &one, 8)
  }

  /// Waits until the count is not zero, a signal handler has run, or the time is over. The count stays.
  ///
  /// - Parameter milliseconds: How long to wait at most; -1 for ever.
  public func wait(milliseconds: Int32 = -1) {
    var watched = pollfd(fd: descriptor.number, events: Int16(POLLIN), revents: 0)
    _ = unsafe poll(&watched, 1, milliseconds)
  }

  /// Waits until something is found, looking at first and after each signal, which is taken; or until the time is over.
  ///
  /// - Returns: What was found; nil when nothing was in time.
  public func wait<Found>(milliseconds: Int, until look: () -> Found?) -> Found? {
    let deadline = monotonicNanoseconds() + UInt64(max(0, milliseconds)) * 1_000_000
    while true {
      if let found = look() { return found }
      let now = monotonicNanoseconds()
      guard now < deadline else { return nil }
      wait(milliseconds: Int32(clamping: (deadline - now) / 1_000_000 + 1))
      drain()
    }
  }

  /// Takes the count and sets it to zero; zero when nobody signalled.
  @discardableResult
  public func drain() -> UInt64 {
    var count: UInt64 = 0
    let length = unsafe read(descriptor.number, &count, 8)
    return length == 8 ? count : 0
  }
}
