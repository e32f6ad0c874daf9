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
  }

  private let phase = Mutex(Phase.running)
  /// True whenever a processor must look at `phase` before it enters the guest: cheap to test at each turn.
  private let interrupted = Atomic<Bool>(false)
  /// Is signalled once the run has ended.
  let ended: EventFD

  init() throws(SystemError) { ended = try EventFD() }

  /// Ends the run; callable from any thread, any number of times.
  func end(_ outcome: RunOutcome) {
    let first = phase.withLock { phase -> Bool in
      if case .ended = phase { return false }
      phase = .ended(outcome)
      return true
    }
    guard first else { return }
    interrupted.store(true, ordering: .releasing)
    ended.signal()
  }

  /// Whether a processor may enter the guest now.
  var mayRun: Bool { !interrupted.load(ordering: .acquiring) }

  /// The outcome, once there is one.
  var outcome: RunOutcome? {
    phase.withLock { phase in
      if case .ended(let outcome) = phase { return outcome }
      return nil
    }
  }
}
