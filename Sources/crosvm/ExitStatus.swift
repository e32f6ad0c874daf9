import CommandLine

/// What the exit status of the command says.
enum ExitStatus: Int32, CaseIterable {
  /// It was done; of a machine: it was stopped or it powered itself off.
  case success = 0
  /// It failed; the reason is on the standard error.
  case failure = 1
  /// The command line or the configuration is wrong; nothing was started.
  case usage = 2
  /// The machine was reset.
  case reset = 32
  /// The machine crashed: a triple fault, or a state that the processor cannot run.
  case crash = 33
  /// The guest's kernel reported a panic.
  case guestPanic = 34

  /// The number for the kernel of the host.
  ///
  /// - Parameter isExtended: Whether the user asked to tell ways of ending apart that are else but success or failure.
  func code(isExtended: Bool) -> Int32 {
    guard !isExtended else { return rawValue }
    switch self {
    case .success, .reset: return ExitStatus.success.rawValue
    case .failure, .crash, .guestPanic: return ExitStatus.failure.rawValue
    case .usage: return ExitStatus.usage.rawValue
    }
  }

  /// What it says, for help and manual pages.
  var meaning: String {
    switch self {
    case .success: "The command did what it was asked to. Of run: the machine was stopped or powered itself off."
    case .failure:
      "The command failed; the reason is on the standard error. Of run without --extended-status also: the machine crashed or panicked."
    case .usage: "The command line or the configuration is wrong; nothing was started."
    case .reset: "With --extended-status: the machine was reset. Without it this is 0."
    case .crash: "With --extended-status: the machine crashed, as by a triple fault, or a process of it ended. Without it this is 1."
    case .guestPanic: "With --extended-status: the guest's kernel reported a panic. Without it this is 1."
    }
  }

  static var descriptions: [Command.ExitStatusDescription] {
    allCases.map { Command.ExitStatusDescription($0.rawValue, $0.meaning) } + [
      // Of a signal handler; see clinux_report_violations.
      Command.ExitStatusDescription(159, "Of run: the machine's own policy forbade what it did, which it says; it was stopped.")
    ]
  }
}
