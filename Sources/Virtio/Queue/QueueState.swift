/// Where a queue stands: all that must be kept, besides guest memory, to go on with it elsewhere.
public struct QueueState: Hashable, Sendable {
  /// The next available entry to take: a running count for a split ring, a position in the descriptor ring for a packed one.
  public var nextAvailable: UInt16
  /// The next used entry to write, counted likewise.
  public var nextUsed: UInt16
  /// The device's wrap counter for available descriptors; packed rings only (section 2.8.1).
  public var availableWrap: Bool
  /// The device's wrap counter for used descriptors; packed rings only.
  public var usedWrap: Bool

  /// The state of a queue that was never used.
  public static let initial = QueueState(nextAvailable: 0, nextUsed: 0, availableWrap: true, usedWrap: true)

  /// Gathers a state.
  public init(nextAvailable: UInt16, nextUsed: UInt16, availableWrap: Bool = true, usedWrap: Bool = true) {
    self.nextAvailable = nextAvailable
    self.nextUsed = nextUsed
    self.availableWrap = availableWrap
    self.usedWrap = usedWrap
  }

  /// The number of bytes of the encoded form.
  public static let encodedSize = 6

  /// The state in the form for snapshots: two little-endian indices, two wrap counters of a byte each.
  public var encoded: [UInt8] {
    [
      UInt8(truncatingIfNeeded: nextAvailable), UInt8(truncatingIfNeeded: nextAvailable >> 8), UInt8(truncatingIfNeeded: nextUsed),
      UInt8(truncatingIfNeeded: nextUsed >> 8), availableWrap ? 1 : 0, usedWrap ? 1 : 0,
    ]
  }

  /// Reads the form that `encoded` makes.
  ///
  /// - Throws: `badState` for another length or a wrap counter that is neither 0 nor 1.
  public init(encoded bytes: [UInt8]) throws(QueueError) {
    guard bytes.count == QueueState.encodedSize else {
      throw .badState("\(bytes.count) bytes instead of \(QueueState.encodedSize)")
    }
    guard bytes[4] <= 1, bytes[5] <= 1 else { throw .badState("a wrap counter is \(max(bytes[4], bytes[5]))") }
    self.init(
      nextAvailable: UInt16(bytes[0]) | UInt16(bytes[1]) << 8, nextUsed: UInt16(bytes[2]) | UInt16(bytes[3]) << 8,
      availableWrap: bytes[4] == 1, usedWrap: bytes[5] == 1)
  }
}
