import Logging
import Machine
import Platform
import Sandbox

/// Runs a machine until it ends.
///
/// - Parameters:
///   - configuration: What to run; it is checked first.
///   - launcher: Makes the devices' processes.
///   - name: The command's name for messages.
/// - Returns: How the machine ended, or why it was not started.
func startMachine(_ configuration: VMConfiguration, launcher: Launcher?, name: String) -> ExitStatus {
  // Each queue, interrupt vector and doorbell is a descriptor.
  DescriptorLimit.raise()
  do {
    let machine = try Machine(
      configuration, launcher: launcher, version: Version.line, logger: Logger(label: "crosvm"),
      deviceLogger: { Logger(label: "crosvm.\($0)") })
    return ExitStatus(try machine.run(), name: name)
  } catch let error as ConfigurationError {
    StandardStreams.complain("\(name): \(error)")
    return .usage
  } catch {
    StandardStreams.complain("\(name): \(error)")
    return .failure
  }
}

extension ExitStatus {
  /// Says how a machine ended, with a line on the standard error where it ended badly.
  fileprivate init(_ outcome: RunOutcome, name: String) {
    switch outcome {
    case .stopped, .poweredOff:
      self = .success
    case .reset:
      self = .reset
    case .crashed(let reason):
      StandardStreams.complain("\(name): the machine crashed: \(reason)")
      self = .crash
    case .guestPanic:
      StandardStreams.complain("\(name): the guest's kernel panicked; its last messages on the console say why")
      self = .guestPanic
    }
  }
}
