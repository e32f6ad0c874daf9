/// A command line that says nothing, or nothing that can be done.
public struct UsageError: Error, Equatable, CustomStringConvertible {
  /// The command with those above it, such as `crosvm run`.
  public let command: String

  /// What is wrong, with the value, and what to do instead.
  public let message: String

  /// Makes an error.
  ///
  /// - Parameters:
  ///   - command: The command with those above it, such as `crosvm run`.
  ///   - message: What is wrong, with the value, and what to do instead.
  public init(command: String, _ message: String) {
    self.command = command
    self.message = message
  }

  /// One line for the standard error.
  public var description: String { "\(command): \(message)" }
}
