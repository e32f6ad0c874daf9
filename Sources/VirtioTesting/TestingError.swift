/// Why the in-memory driver could not go on: a test that meets one has found something.
public enum TestingError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The driver's part of guest memory, or its ring, is full.
  case full(String)
  /// Nothing happened before the deadline.
  case timeout(String)
  /// The device asked to be reset, for this reason.
  case deviceNeedsReset(String)
  /// The device wrote something into the ring that the specification forbids.
  case badUsed(String)

  /// The failure in words.
  public var description: String {
    switch self {
    case .full(let what): "\(what) is full"
    case .timeout(let what): "nothing happened in time: \(what)"
    case .deviceNeedsReset(let reason): "the device asks to be reset: \(reason)"
    case .badUsed(let what): "the device broke the ring: \(what)"
    }
  }
}
