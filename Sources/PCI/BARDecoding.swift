internal import Bus

/// Follows a guest that moves ranges: compares the registers with what the host decodes, and asks the host for the difference.
public struct BARDecoding: Sendable {
  private var host: (any BARHost)?
  /// What each register was last asked to decode.
  private var asked: [Int: UInt64] = [:]
  /// Where each register answers, as far as the host agreed.
  private var placed: [Int: UInt64] = [:]

  /// Begins with nothing decoded and no host.
  public init() {}

  /// Takes the host; call `update` afterwards.
  public mutating func connect(_ host: any BARHost) { self.host = host }

  /// Where a register answers now; `nil` when nowhere.
  public func base(ofBAR index: Int) -> UInt64? { placed[index] }

  /// Brings the host in line with the registers; to be called after a write with the effect `decoding`.
  ///
  /// Ranges are given up before others are taken, so that two registers of one function may change places.
  ///
  /// - Returns: The numbers of the registers whose range has moved, appeared or gone.
  @discardableResult
  public mutating func update(from space: PCIConfigurationSpace) -> [Int] {
    guard let host else { return [] }
    let wanted = space.bars.map { ($0.index, space.decodedRange(of: $0)?.base) }
    let changed = wanted.filter { index, base in asked[index] != base }
    for (index, _) in changed where placed.removeValue(forKey: index) != nil { _ = host.decode(bar: index, at: nil) }
    for (index, base) in changed {
      asked[index] = base
      if let base, host.decode(bar: index, at: base) { placed[index] = base }
    }
    return changed.map(\.0)
  }

  /// Gives up all ranges, for a device that goes.
  public mutating func release() {
    for index in placed.keys.sorted() { _ = host?.decode(bar: index, at: nil) }
    asked = [:]
    placed = [:]
  }
}
