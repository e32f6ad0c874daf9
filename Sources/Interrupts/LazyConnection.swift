internal import Synchronization

/// Connects an interrupt's event with its controller when the device signals it for the first time.
///
/// Most lines of a PC are never used, and the kernel takes milliseconds to let go of each that was connected.
final class LazyConnection: Sendable {
  /// In a structure, because a closure that is itself the value of a Mutex is wrapped once more at each access.
  private struct State {
    var connect: (@Sendable () -> Void)?
  }

  private let state = Mutex(State())
  private let isEstablished = Atomic<Bool>(false)

  /// Sets what makes the connection; to be called before the device runs.
  func set(_ connect: @escaping @Sendable () -> Void) { state.withLock { $0.connect = connect } }

  /// Makes the connection unless it was made; returns when it is there.
  @inline(__always)
  func establish() {
    if !isEstablished.load(ordering: .acquiring) { establishNow() }
  }

  private func establishNow() {
    state.withLock { state in
      state.connect?()
      state.connect = nil
      isEstablished.store(true, ordering: .releasing)
    }
  }
}
