internal import CLinux
internal import Glibc
internal import Platform

// Ranges that become zeroes, or are forgotten.
extension Qcow2Engine {
  private var clusterBits: UInt64 { UInt64(geometry.clusterBits) }

  /// What a cluster that lies whole in a range becomes.
  enum Emptying {
    /// Anything may be read from it: its place is given back where that needs no more than an entry.
    case discard
    /// Zeroes; its place is given back.
    case zeroAndFree
    /// Zeroes; it keeps its place.
    case zeroAndKeep
  }

  /// Forgets the clusters that lie whole in a range. The rest of the range stays as it is.
  func discard(offset: UInt64, count: UInt64) throws(DiskFailure) {
    guard damage == nil else { throw DiskFailure(EIO) }
    guard let clusters = wholeClusters(offset: offset, count: count) else { return }
    try clearUnknownFeatures()
    try empty(clusters, .discard)
  }

  /// The clusters that lie whole in a range; nil where none does.
  private func wholeClusters(offset: UInt64, count: UInt64) -> Range<UInt64>? {
    let first = geometry.clusters(holding: offset)
    // The disk's last cluster may be a part of one.
    let end = offset + count == size ? geometry.clusters(holding: size) : (offset + count) >> clusterBits
    return first < end ? first..<end : nil
  }

  /// Fills a range with zeroes.
  func writeZeroes(offset: UInt64, count: UInt64, mayDiscard: Bool) throws(DiskFailure) {
    guard damage == nil else { throw DiskFailure(EIO) }
    try clearUnknownFeatures()
    guard let clusters = wholeClusters(offset: offset, count: count) else { return try storeZeroes(offset, upTo: offset + count) }
    try storeZeroes(offset, upTo: clusters.lowerBound << clusterBits)
    try empty(clusters, mayDiscard ? .zeroAndFree : .zeroAndKeep)
    try storeZeroes(max(clusters.upperBound << clusterBits, offset), upTo: offset + count)
  }

  /// Writes zeroes as data where there is anything else.
  private func storeZeroes(_ start: UInt64, upTo end: UInt64) throws(DiskFailure) {
    var place = start
    while place < end {
      let extent = try map(place, atMost: min(end - place, geometry.clusterSize))
      if extent.kind == .zero || extent.kind == .backing && place >= backing?.size ?? 0 {
        place += extent.count
        continue
      }
      let zeroes = try zeroMemory()
      var piece = unsafe iovec(iov_base: zeroes.base, iov_len: Int(extent.count))
      let done = try unsafe withPiece(&piece) { vectors throws(DiskFailure) in
        switch unsafe try write(vectors, at: place, count: extent.count) {
        case .done(let count): count
        case .place(let extent): unsafe try file.write(vectors, to: extent)
        }
      }
      place += done
    }
  }

  @unsafe private func withPiece(
    _ piece: inout iovec, _ body: (BufferVectors) throws(DiskFailure) -> UInt64
  ) throws(DiskFailure) -> UInt64 {
    try unsafe withUnsafeMutablePointer(to: &piece) { pointer throws(DiskFailure) in
      unsafe try body(BufferVectors(first: pointer, count: 1))
    }
  }

  private func empty(_ clusters: Range<UInt64>, _ how: Emptying) throws(DiskFailure) {
    var cluster = clusters.lowerBound
    while cluster < clusters.upperBound {
      let tableEnd = (cluster >> UInt64(geometry.l2Bits) + 1) << UInt64(geometry.l2Bits)
      let end = min(clusters.upperBound, tableEnd)
      guard try needsEntries(cluster, how) else {
        cluster = end
        continue
      }
      try markDirty()
      let table = try writableL2Table(of: cluster)
      for next in cluster..<end {
        try emptyOne(next, table, how)
        try flushIfMuchWasFreed()
      }
      cluster = end
    }
  }

  /// Whether a range without a second table needs one.
  private func needsEntries(_ cluster: UInt64, _ how: Emptying) throws(DiskFailure) -> Bool {
    if try l2Table(of: cluster) != nil { return true }
    // There is nothing but what the backing file has.
    return how != .discard && cluster << clusterBits < backing?.size ?? 0
  }

  private func emptyOne(_ cluster: UInt64, _ table: UInt64, _ how: Emptying) throws(DiskFailure) {
    let slot = try l2Slot(table, cluster)
    let index = entryIndex(cluster)
    let (word, bitmap) = entry(slot, index)
    _ = try kind(word, bitmap, 0)
    let isBacked = cluster << clusterBits < backing?.size ?? 0
    let isAllocated = word & Qcow2Entry.compressed != 0 || word & Qcow2Entry.offsetMask != 0
    if !isAllocated, how == .discard || !isBacked && word == 0 && bitmap == (geometry.hasSubclusters ? 0 : 0xffff_ffff) { return }
    if geometry.version < 3, isBacked { return try emptyOld(cluster, word, how) }
    if how == .zeroAndKeep, geometry.version >= 3, word & Qcow2Entry.copied != 0, word & Qcow2Entry.compressed == 0 {
      // It stays where it is, and is not looked at until it is written again.
      let kept = word & (Qcow2Entry.offsetMask | Qcow2Entry.copied)
      return setZero(slot, index, kept)
    }
    freeEntry(word)
    // Where a backing file would show through, or older content of the disk, it is zeroes that are read.
    if geometry.version < 3 { setEntry(slot, index, 0, bitmap: 0) } else { setZero(slot, index, 0) }
  }

  private func setZero(_ slot: Int, _ index: Int, _ word: UInt64) {
    setEntry(slot, index, geometry.hasSubclusters ? word : word | Qcow2Entry.zero, bitmap: 0xffff_ffff << 32)
  }

  /// Version 2 has no entry for zeroes that hide a backing file: they are written, and a discard does nothing.
  private func emptyOld(_ cluster: UInt64, _ word: UInt64, _ how: Emptying) throws(DiskFailure) {
    if how == .discard { return }
    let start = cluster << clusterBits
    try storeZeroes(start, upTo: min(start + geometry.clusterSize, size))
  }
}
