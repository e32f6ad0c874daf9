internal import Glibc
public import Platform
internal import Synchronization
public import Virtio

/// An interrupt that notes what the device says.
public final class FakeInterrupt: VirtioInterrupt {
  /// What was said so far.
  public struct Record: Sendable {
    /// How often each queue was signalled.
    public var used: [UInt16: Int] = [:]
    /// How often the configuration changed.
    public var configurationChanges = 0
    /// Why the device asked for resets, in order.
    public var resetReasons: [String] = []
  }

  private let state = Mutex(Record())
  /// Is signalled with each call.
  public let event: EventFD

  /// Makes an interrupt that has noted nothing.
  public init() throws(SystemError) { event = try EventFD() }

  /// What was noted so far.
  public var record: Record { state.withLock { $0 } }

  /// How often a queue was signalled.
  public func signals(queue: UInt16 = 0) -> Int { record.used[queue] ?? 0 }

  /// Notes that a queue was signalled.
  public func signalUsed(queue: UInt16) {
    state.withLock { $0.used[queue, default: 0] += 1 }
    event.signal()
  }

  /// Lends nothing: all is to be signalled here.
  public func lend(queue: UInt16, to handler: (@Sendable (EventFD?) -> Void)?) { handler?(nil) }

  /// Notes that the configuration changed.
  public func signalConfigurationChange() {
    state.withLock { $0.configurationChanges += 1 }
    event.signal()
  }

  /// Notes why the device asked for a reset.
  public func deviceNeedsReset(_ reason: String) {
    state.withLock { $0.resetReasons.append(reason) }
    event.signal()
  }

  /// Waits until the next call, or the end of `milliseconds`.
  public func wait(milliseconds: Int) {
    var entry = pollfd(fd: event.number, events: Int16(POLLIN), revents: 0)
    // One entry, which lives across the call.
    _ = unsafe poll(&entry, 1, Int32(clamping: max(0, milliseconds)))
    event.drain()
  }
}
