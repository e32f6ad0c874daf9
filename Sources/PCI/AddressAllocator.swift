internal import Bus

/// Hands out naturally aligned ranges of a window, lowest first, so that the same devices always get the same addresses.
struct AddressAllocator: Sendable {
  private let window: BusRange
  /// By rising address.
  private var taken: [BusRange] = []

  init(window: BusRange) { self.window = window }

  /// Takes the lowest free range; `nil` when none is large enough. `size` is a power of two.
  mutating func allocate(size: UInt64) -> BusRange? {
    var candidate = window.base
    var index = 0
    while let base = AddressAllocator.align(candidate, to: size), let range = BusRange(base: base, length: size), range.last <= window.last
    {
      guard index < taken.count, taken[index].overlaps(range) || taken[index].last < range.base else {
        taken.insert(range, at: index)
        return range
      }
      let (next, overflow) = taken[index].last.addingReportingOverflow(1)
      if overflow { return nil }
      candidate = max(candidate, next)
      index += 1
    }
    return nil
  }

  /// Gives a range back.
  mutating func free(_ range: BusRange) { taken.removeAll { $0 == range } }

  private static func align(_ address: UInt64, to size: UInt64) -> UInt64? {
    let (sum, overflow) = address.addingReportingOverflow(size - 1)
    return overflow ? nil : sum & ~(size - 1)
  }
}
