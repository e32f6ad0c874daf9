internal import Synchronization

/// Carries a value that belongs to one thread at a time from thread to thread: who gives it has it no more, who takes it has it alone.
public final class Handover<Value>: Sendable {
  /// Sendable, because what goes in was given away and what comes out is given away.
  private struct Content: @unchecked Sendable {
    var value: Value?
  }

  private let content: Mutex<Content>

  /// Begins with a value on its way, or none.
  public init(_ value: sending Value?) { content = Mutex(Content(value: value)) }

  /// Whether there is none: a moment ago, where others may give or take.
  public var isEmpty: Bool { content.withLock { $0.value == nil } }

  /// Takes the value; `nil` where none was given since it was last taken.
  public func take() -> sending Value? {
    let taken = content.withLock { content in
      defer { content = Content(value: nil) }
      return content
    }
    return taken.value
  }

  /// Gives a value, in the place of one that nobody has taken.
  public func give(_ value: sending Value) {
    let content = Content(value: value)
    self.content.withLock { $0 = content }
  }
}
