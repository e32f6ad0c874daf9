internal import Platform
internal import Synchronization

/// How a machine's run ended.
public enum RunOutcome: Equatable, Sendable {
  /// The user or a signal stopped it.
  case stopped
  /// The guest powered itself off.
  case poweredOff
  /// The guest asked for a reset.
  case reset
  /// The guest crashed (a triple fault), or the machine cannot go on; the reason in words.
  case crashed(String)
  /// The guest's kernel reported its panic.
  case guestPanic
}

/// What all threads of a machine agree on: whether processors run, and how the run ended. The first outcome wins.
final class RunControl: Sendable {
  private enum Phase {
    case running
    case paused
    case ended(RunOutcome)

    var hasEnded: Bool {
      if case .ended = self { return true }
      return false
    }
  }

  private struct State {
    var phase = Phase.running
    /// The processors that wait in `waitWhilePaused`.
    var parked = 0
  }

  private let state = Mutex(State())
  /// True whenever a processor must look at the phase before it enters the guest: cheap to test at each turn.
  private let interrupted = Atomic<Bool>(false)
  /// Whether the run has ended: for those who are in the middle of something long.
  var isOver: Bool { over.load(ordering: .acquiring) }
  private let over = Atomic<Bool>(false)
  /// Is signalled once the run has ended.
  let ended: EventFD
  /// Is signalled each time that a processor is parked.
  private let hasParked: EventFD
  /// Is readable whenever processors need not wait: its count is never taken but by `pause`.
  private let mayContinue: EventFD

  init() throws(SystemError) {
    ended = try EventFD()
    hasParked = try EventFD()
    mayContinue = try EventFD()
  }

  /// Ends the run; callable from any thread, any number of times.
  func end(_ outcome: RunOutcome) {
    let first = state.withLock { state -> Bool in
      if case .ended = state.phase { return false }
      state.phase = .ended(outcome)
      return true
    }
    guard first else { return }
    over.store(true, ordering: .releasing)
    interrupted.store(true, ordering: .releasing)
    mayContinue.signal()
    ended.signal()
  }

  /// Makes processors stay outside the guest from their next turn on; the caller makes them leave it, and then calls `waitUntilParked`.
  ///
  /// - Returns: Whether the machine is paused now: not when its run has ended.
  func pause() -> Bool {
    state.withLock { state in
      if case .ended = state.phase { return false }
      if case .running = state.phase {
        mayContinue.drain()
        state.phase = .paused
        interrupted.store(true, ordering: .releasing)
      }
      return true
    }
  }

  /// Waits until this many processors are parked.
  ///
  /// - Returns: Whether they are: not when the run has ended meanwhile, or not within the time.
  func waitUntilParked(_ processors: Int, milliseconds: Int) -> Bool {
    hasParked.wait(milliseconds: milliseconds) { () -> Bool? in
      state.withLock { state in state.phase.hasEnded ? false : state.parked >= processors ? true : nil }
    } ?? false
  }

  /// Lets processors go on after `pause`.
  func resume() {
    state.withLock { state in
      guard case .paused = state.phase else { return }
      state.phase = .running
      interrupted.store(false, ordering: .releasing)
      mayContinue.signal()
    }
  }

  /// Whether the machine is paused.
  var isPaused: Bool {
    state.withLock { state in
      if case .paused = state.phase { return true }
      return false
    }
  }

  /// Whether a processor may enter the guest now.
  var mayRun: Bool { !interrupted.load(ordering: .acquiring) }

  /// Keeps a processor's thread while the machine is paused. The phase may have changed again when it returns: ask `mayRun`.
  ///
  /// - Returns: Whether the processor goes on: not when the run has ended.
  func waitWhilePaused() -> Bool {
    var isParked = false
    while true {
      let goesOn = state.withLock { state -> Bool? in
        if case .paused = state.phase {
          if !isParked { state.parked += 1 }
          isParked = true
          return nil
        }
        if isParked { state.parked -= 1 }
        return !state.phase.hasEnded
      }
      if let goesOn { return goesOn }
      hasParked.signal()
      mayContinue.wait()
    }
  }

  /// The outcome, once there is one.
  var outcome: RunOutcome? {
    state.withLock { state in
      if case .ended(let outcome) = state.phase { return outcome }
      return nil
    }
  }
}
