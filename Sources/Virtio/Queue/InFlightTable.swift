/// Which requests the device works on, by head or buffer ID, and how many ring entries each took.
struct InFlightTable {
  private var entries: [UInt16]
  /// The ring entries of all requests in flight together.
  private(set) var total = 0
  /// What was taken, in its order, as a ring: no more can be in flight, so none of them is overwritten.
  private var order: [UInt16]
  /// Where the next one taken is noted.
  private var next = 0

  init(size: UInt16) {
    entries = [UInt16](repeating: 0, count: Int(size))
    order = entries
  }

  func contains(_ id: UInt16) -> Bool { Int(id) < entries.count && entries[Int(id)] != 0 }

  /// Notes a request; the caller has checked that `id` is below the size and not in flight.
  mutating func insert(_ id: UInt16, entries count: UInt16) {
    guard Int(id) < entries.count else { return }
    entries[Int(id)] = count
    total += Int(count)
    order[next] = id
    next = next + 1 == order.count ? 0 : next + 1
  }

  /// Forgets the request that was taken last of those not put back, and returns its ring entries; `nil` when `id` is another or not in flight.
  ///
  /// Were `id` in flight because it was taken again later, that later place would be the last one.
  mutating func putBack(_ id: UInt16) -> UInt16? {
    guard !order.isEmpty else { return nil }
    let last = next == 0 ? order.count - 1 : next - 1
    guard order[last] == id, let count = remove(id) else { return nil }
    next = last
    return count
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
