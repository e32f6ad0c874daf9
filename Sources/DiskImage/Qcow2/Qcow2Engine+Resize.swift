internal import Glibc

// A disk that grows.
extension Qcow2Engine {
  private var clusterBits: UInt64 { UInt64(geometry.clusterBits) }

  /// Makes the disk larger; what it gains reads as zeroes.
  ///
  /// - Parameter bytes: A multiple of 512, more than the size now, and no more than an L1 table of `Qcow2Layout.l1Limit` can map.
  func grow(to bytes: UInt64) throws(DiskFailure) {
    try clearUnknownFeatures()
    try markDirty()
    let old = size
    let needed = geometry.l1Entries(forSize: bytes)
    if needed > UInt64(header.l1Count) { try moveL1(toCount: needed) }
    if needed > UInt64(l1.count) {
      let count = Int(needed) - l1.count
      // What an earlier user left behind the disk's end is not part of it.
      try file.put([UInt8](repeating: 0, count: count * 8), at: header.l1Offset + UInt64(l1.count) * 8)
      l1 += [UInt64](repeating: 0, count: count)
    }
    header.size = bytes
    do throws(DiskFailure) {
      // The last cluster's rest, and what the backing file has there, must not show.
      try hideOldContent(from: old, upTo: bytes)
      try flush()
      try writeSize()
    } catch {
      header.size = old
      throw error
    }
  }

  private func hideOldContent(from old: UInt64, upTo end: UInt64) throws(DiskFailure) {
    let clusterEnd = min(end, geometry.clusters(holding: old) << clusterBits)
    if old < clusterEnd { try writeZeroes(offset: old, count: clusterEnd - old, mayDiscard: true) }
    let backed = min(end, backing?.size ?? 0)
    if clusterEnd < backed { try writeZeroes(offset: clusterEnd, count: backed - clusterEnd, mayDiscard: true) }
  }

  private func moveL1(toCount count: UInt64) throws(DiskFailure) {
    let clusters = geometry.clusters(holding: count * 8)
    let start = try allocateContiguous(clusters)
    try lostIfItFails { () throws(DiskFailure) in
      // What is in memory may be newer than what is on the disk: it may refer only to what is there.
      try flush()
      var bytes: [UInt8] = []
      bytes.reserveCapacity(Int(clusters << clusterBits))
      for entry in l1 { bytes.appendBig(entry) }
      bytes += [UInt8](repeating: 0, count: Int(clusters << clusterBits) - bytes.count)
      try file.put(bytes, at: start << clusterBits)
      // The new table's own refcounts, and the table.
      try writeRefcounts()
    }
    let old = ClusterRun(start: header.l1Offset >> clusterBits, count: geometry.clusters(holding: UInt64(header.l1Count) * 8))
    header.l1Offset = start << clusterBits
    header.l1Count = UInt32(count)
    try writeSize()
    layout.move("L1 table", start: start << clusterBits, end: (start + clusters) << clusterBits)
    waiting.append(WaitingRun(run: old, epoch: epoch))
  }

  /// Writes the disk's size and where its L1 table is: adjacent fields, in one sector.
  private func writeSize() throws(DiskFailure) {
    var fields: [UInt8] = []
    fields.appendBig(header.size)
    fields.appendBig(UInt32(0))
    fields.appendBig(header.l1Count)
    fields.appendBig(header.l1Offset)
    do { try file.put(fields, at: 24) } catch {
      // Nobody knows which of the two the disk has.
      isBroken = true
      throw error
    }
    try barrier()
  }
}
