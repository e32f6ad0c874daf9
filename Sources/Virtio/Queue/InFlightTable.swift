/// Which requests the device works on, by head or buffer ID, and how many ring entries each took.
struct InFlightTable {
  private var entries: [UInt16]
  /// The ring entries of all requests in flight together.
  private(set) var total = 0

  init(size: UInt16) { entries = [UInt16](repeating: 0, count: Int(size)) }

  func contains(_ id: UInt16) -> Bool { Int(id) < entries.count && entries[Int(id)] != 0 }

  /// Notes a request; the caller has checked that `id` is below the size and not in flight.
  mutating func insert(_ id: UInt16, entries count: UInt16) {
    guard Int(id) < entries.count else { return }
    entries[Int(id)] = count
    total += Int(count)
  }

  /// Forgets a request and returns its ring entries; `nil` when it is not in flight.
  mutating func remove(_ id: UInt16) -> UInt16? {
    guard contains(id) else { return nil }
    let count = entries[Int(id)]
    entries[Int(id)] = 0
    total -= Int(count)
    return count
  }
}
