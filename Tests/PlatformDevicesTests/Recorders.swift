import Interrupts
import Platform
import PlatformDevices
import Synchronization

/// An output that remembers what it was given, and can pretend that nobody reads.
final class RecordingOutput: ByteOutput {
  private struct State {
    var bytes: [UInt8] = []
    var blocked = false
    var handler: (@Sendable () -> Void)?
  }

  private let state = Mutex(State())

  var bytes: [UInt8] { state.withLock { $0.bytes } }

  func write(_ byte: UInt8) -> Bool { write([byte]) }

  func write(_ bytes: [UInt8]) -> Bool {
    state.withLock { state in
      state.bytes += bytes
      return !state.blocked
    }
  }

  func onRoom(_ handler: @escaping @Sendable () -> Void) { state.withLock { $0.handler = handler } }

  func finish(milliseconds: Int32) {}

  func block() { state.withLock { $0.blocked = true } }

  func unblock() {
    let handler = state.withLock { state in
      state.blocked = false
      return state.handler
    }
    handler?()
  }
}

/// Counts calls from any thread.
final class Counter: Sendable {
  private let count = Atomic<Int>(0)
  var value: Int { count.load(ordering: .relaxed) }
  func add() { count.add(1, ordering: .relaxed) }
}

/// A clock that stands still until it is told to go on.
final class ManualClock: Sendable {
  private let time: Mutex<Int64>
  init(_ nanoseconds: Int64) { time = Mutex(nanoseconds) }
  var now: Int64 { time.withLock { $0 } }
  func advance(_ nanoseconds: Int64) { time.withLock { $0 += nanoseconds } }
}
