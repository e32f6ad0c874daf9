/// A snapshot that a device cannot take over: it is another device's, another version's, or damaged.
public struct DeviceStateError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What is wrong, with the values.
  public let description: String

  /// Makes an error.
  public init(_ description: String) { self.description = description }
}
