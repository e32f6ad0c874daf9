/// How often each cluster is referred to, for those that are: memory for pieces of the file in which there is one, up to a limit.
struct ReferenceCounts {
  private static let pieceBits: UInt64 = 12
  /// As much as a sound image of 4 TiB in clusters of 64 KiB takes.
  private static let limit = 256 << 20

  private var places: [UInt64: Int] = [:]
  private var counts: [UInt32] = []

  /// Counts one reference more.
  mutating func add(_ cluster: UInt64, times: UInt32 = 1) throws(Qcow2Problem) {
    let piece = cluster >> ReferenceCounts.pieceBits
    let start: Int
    if let known = places[piece] {
      start = known
    } else {
      guard (counts.count + 1 << ReferenceCounts.pieceBits) * 4 <= ReferenceCounts.limit else { throw .tooLargeToCheck }
      start = counts.count
      places[piece] = start
      counts += [UInt32](repeating: 0, count: 1 << ReferenceCounts.pieceBits)
    }
    let index = start + Int(cluster & ((1 << ReferenceCounts.pieceBits) - 1))
    let (sum, overflow) = counts[index].addingReportingOverflow(times)
    counts[index] = overflow ? .max : sum
  }

  /// The first cluster behind all that are referred to.
  var end: UInt64 {
    guard let piece = places.keys.max(), let start = places[piece] else { return 0 }
    let last = counts[start..<start + 1 << Int(ReferenceCounts.pieceBits)].lastIndex { $0 != 0 } ?? start
    return piece << ReferenceCounts.pieceBits + UInt64(last - start) + 1
  }

  subscript(cluster: UInt64) -> UInt64 {
    guard let start = places[cluster >> ReferenceCounts.pieceBits] else { return 0 }
    return UInt64(counts[start + Int(cluster & ((1 << ReferenceCounts.pieceBits) - 1))])
  }

  /// All clusters that are referred to, in order.
  func forEach(_ body: (_ cluster: UInt64, _ count: UInt64) throws -> Void) throws {
    for piece in places.keys.sorted() {
      guard let start = places[piece] else { continue }
      for index in 0..<(1 << Int(ReferenceCounts.pieceBits)) where counts[start + index] != 0 {
        try body(piece << ReferenceCounts.pieceBits + UInt64(index), UInt64(counts[start + index]))
      }
    }
  }
}
