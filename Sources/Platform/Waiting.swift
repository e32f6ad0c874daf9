internal import CLinux
internal import Glibc

/// Waits on the calling thread until a descriptor or a second event is ready (poll(2)): what a helper thread with one stream needs.
enum Waiting {
  /// What was ready.
  struct Ready: OptionSet {
    let rawValue: Int
    /// The descriptor can be read or written, has ended or failed.
    static let descriptor = Ready(rawValue: 1)
    /// The event was signalled; its count is taken already.
    static let event = Ready(rawValue: 2)
  }

  /// Waits.
  ///
  /// - Parameters:
  ///   - descriptor: To wait for, or -1 for the event alone.
  ///   - writing: Whether to wait until the descriptor can be written, and not read.
  ///   - event: Wakes the wait; drained when it did.
  ///   - milliseconds: How long to wait at most; -1 for ever.
  /// - Returns: Nothing after the time, or when a signal arrived.
  static func wait(for descriptor: Int32, writing: Bool = false, or event: EventFD, milliseconds: Int32 = -1) -> Ready {
    let interest = Int16(writing ? POLLOUT : POLLIN)
    var pair = (pollfd(fd: descriptor, events: interest, revents: 0), pollfd(fd: event.number, events: Int16(POLLIN), revents: 0))
    // A tuple of two equal elements has the layout of an array of two.
    let count = unsafe withUnsafeMutablePointer(to: &pair) {
      unsafe $0.withMemoryRebound(to: pollfd.self, capacity: 2) { unsafe poll($0, 2, milliseconds) }
    }
    guard count > 0 else { return [] }
    var ready: Ready = []
    if pair.0.revents != 0 { ready.insert(.descriptor) }
    if pair.1.revents != 0 {
      event.drain()
      ready.insert(.event)
    }
    return ready
  }
}
