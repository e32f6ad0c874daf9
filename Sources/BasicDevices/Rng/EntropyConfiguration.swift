/// What the user sets for an entropy device.
public struct EntropyConfiguration: Sendable, Equatable {
  /// The most random bytes that the guest gets each second, at least `EntropyRequest.limit`. It bounds the time that a guest makes the host spend.
  public var bytesPerSecond: UInt64

  /// Makes a configuration.
  public init(bytesPerSecond: UInt64 = 64 << 20) { self.bytesPerSecond = bytesPerSecond }
}
