import Glibc
import Synchronization

/// A value that several threads of a test look at.
final class Shared<Value: Sendable>: Sendable {
  private let content: Mutex<Value>
  init(_ value: Value) { content = Mutex(value) }
  var value: Value { content.withLock { $0 } }
  func set(_ value: Value) { content.withLock { $0 = value } }
}

extension Shared where Value == Int {
  func add() { content.withLock { $0 += 1 } }
}

/// Lets other threads run.
func usleepBriefly() { usleep(1_000) }
