public import Platform
internal import Synchronization

/// What a queue's thread shall do, and how it is told.
public final class WorkerCommand: Sendable {
  /// What a thread may be told.
  public enum Command: UInt8, Sendable {
    /// Go on.
    case serve
    /// Answer what was taken, take no more, and end.
    case drain
    /// End as soon as nothing touches the guest's memory any more.
    case abandon
  }

  /// Wakes the thread.
  public let event: EventFD
  private let state = Atomic<UInt8>(Command.serve.rawValue)

  /// Begins with `serve`.
  public init() throws(SystemError) { event = try EventFD() }

  /// What it was told last.
  public var current: Command { Command(rawValue: state.load(ordering: .acquiring)) ?? .abandon }

  /// Tells it.
  public func give(_ command: Command) {
    state.store(command.rawValue, ordering: .releasing)
    event.signal()
  }
}
