internal import Glibc

/// Where a part of the disk is.
struct Qcow2Extent: Sendable, Equatable {
  enum Kind: UInt8, Sendable {
    /// In the file, at `host`.
    case data
    /// Nowhere: it is zero.
    case zero
    /// In the backing file, at the same offset; zero where that has less, or where there is none.
    case backing
    /// In the file, compressed, as the L2 entry `host` describes it.
    case compressed
  }

  var kind = Kind.zero
  var host: UInt64 = 0
  var count: UInt64 = 0
}

// How a guest's offset is found in the file (qcow2 specification, "Cluster mapping").
extension Qcow2Engine {
  /// The second table that maps a cluster, or nil where there is none yet.
  func l2Table(of cluster: UInt64) throws(DiskFailure) -> UInt64? {
    let index = Int(cluster >> UInt64(geometry.l2Bits))
    guard index < l1.count else { throw DiskFailure(EINVAL) }
    let offset = l1[index] & Qcow2Entry.offsetMask
    if offset == 0 { return nil }
    guard offset & geometry.offsetMask == 0 else { throw damaged("L1 entry \(index) is not aligned") }
    return offset
  }

  /// The slot of the cache that holds the entry of a cluster; and the entry's index in it, as entries are counted.
  func l2Slot(_ table: UInt64, _ cluster: UInt64) throws(DiskFailure) -> Int {
    let index = (cluster & ((1 << UInt64(geometry.l2Bits)) - 1)) >> UInt64(geometry.sliceEntryBits)
    let offset = table + index << UInt64(geometry.sliceBits)
    if let slot = l2.find(offset) { return slot }
    return try loadL2Slice(offset, table)
  }

  private func loadL2Slice(_ offset: UInt64, _ table: UInt64) throws(DiskFailure) -> Int {
    let cluster = table >> UInt64(geometry.clusterBits)
    guard table < fileEnd else { throw damaged("an L2 table at \(table) is beyond the end of the file") }
    if layout.contains(table) || refcountFilter.mayContain(cluster) && isRefcountBlock(cluster) {
      throw damaged("an L2 table at \(table) is in the place of other metadata")
    }
    if let slot = l2.victim(for: offset) {
      try l2.fill(slot, from: file, at: offset)
      return slot
    }
    // All that could go are changed: written in order, they are clean.
    try flush()
    guard let slot = l2.victim(for: offset) else { throw DiskFailure(EIO) }
    try l2.fill(slot, from: file, at: offset)
    return slot
  }

  func entryIndex(_ cluster: UInt64) -> Int { Int(cluster) & ((1 << geometry.sliceEntryBits) - 1) }

  /// An entry's words: the second tells of subclusters, all of them allocated where there are none.
  @inline(__always)
  func entry(_ slot: Int, _ index: Int) -> (word: UInt64, bitmap: UInt64) {
    geometry.hasSubclusters ? (l2.word(slot, index * 2), l2.word(slot, index * 2 + 1)) : (l2.word(slot, index), 0xffff_ffff)
  }

  /// What an entry says of one of its subclusters.
  @inline(__always)
  func kind(_ word: UInt64, _ bitmap: UInt64, _ subcluster: Int) throws(DiskFailure) -> Qcow2Extent.Kind {
    if word & Qcow2Entry.compressed != 0 { return .compressed }
    let host = word & Qcow2Entry.offsetMask
    if host & geometry.offsetMask != 0 { throw damaged("an L2 entry is not aligned: \(word)") }
    if geometry.hasSubclusters {
      let bits = (bitmap >> UInt64(subcluster) & 1, bitmap >> UInt64(subcluster + 32) & 1)
      switch bits {
      case (0, 0): return .backing
      case (0, 1): return .zero
      case (1, 0) where host != 0: return .data
      default: throw damaged("an L2 entry's subclusters contradict it: \(word), \(bitmap)")
      }
    }
    if word & Qcow2Entry.zero != 0 {
      if geometry.version < 3 { throw damaged("an L2 entry has a flag of version 3: \(word)") }
      return .zero
    }
    return host == 0 ? .backing : .data
  }

  /// Finds the first bytes of a range, as many of them as are in one piece.
  ///
  /// - Parameters:
  ///   - offset: Within the disk.
  ///   - limit: The most bytes; not zero.
  func map(_ offset: UInt64, atMost limit: UInt64) throws(DiskFailure) -> Qcow2Extent {
    let cluster = offset >> UInt64(geometry.clusterBits)
    guard let table = try l2Table(of: cluster) else {
      let span: UInt64 = 1 << UInt64(geometry.l1Shift)
      return Qcow2Extent(kind: .backing, host: 0, count: min(limit, span - offset & (span - 1)))
    }
    let slot = try l2Slot(table, cluster)
    let index = entryIndex(cluster)
    let inside = offset & geometry.offsetMask
    let (word, bitmap) = entry(slot, index)
    if geometry.hasSubclusters { return try mapSubclusters(slot, index, inside: inside, atMost: limit) }
    let kind = try kind(word, bitmap, 0)
    var extent = Qcow2Extent(kind: kind, host: word, count: geometry.clusterSize - inside)
    if kind == .data { extent.host = word & Qcow2Entry.offsetMask + inside }
    if kind == .compressed || extent.count >= limit {
      extent.count = min(extent.count, limit)
      return extent
    }
    for next in (index + 1)..<(1 << geometry.sliceEntryBits) {
      let following = l2.word(slot, next)
      guard try self.kind(following, bitmap, 0) == kind else { break }
      if kind == .data, following & Qcow2Entry.offsetMask != extent.host + extent.count { break }
      extent.count += geometry.clusterSize
      if extent.count >= limit { break }
    }
    extent.count = min(extent.count, limit)
    return extent
  }

  private func mapSubclusters(_ slot: Int, _ index: Int, inside: UInt64, atMost limit: UInt64) throws(DiskFailure) -> Qcow2Extent {
    let size: UInt64 = 1 << UInt64(geometry.subclusterBits)
    var (word, bitmap) = entry(slot, index)
    var part = Int(inside >> UInt64(geometry.subclusterBits))
    let kind = try kind(word, bitmap, part)
    var extent = Qcow2Extent(kind: kind, host: word, count: size - inside & (size - 1))
    if kind == .data { extent.host = word & Qcow2Entry.offsetMask + inside }
    if kind == .compressed { extent.count = geometry.clusterSize - inside }
    var index = index
    while kind != .compressed, extent.count < limit {
      part += 1
      if part == 32 {
        part = 0
        index += 1
        guard index < 1 << geometry.sliceEntryBits else { break }
        (word, bitmap) = entry(slot, index)
      }
      guard try self.kind(word, bitmap, part) == kind else { break }
      if kind == .data, word & Qcow2Entry.offsetMask + UInt64(part) * size != extent.host + extent.count { break }
      extent.count += size
    }
    extent.count = min(extent.count, limit)
    return extent
  }

  /// Finds where the first bytes of a range can be written in place, as many as are in one piece; nil where the first cluster must be
  /// allocated or copied.
  func mapForWriting(_ offset: UInt64, atMost limit: UInt64) throws(DiskFailure) -> Qcow2Extent? {
    let cluster = offset >> UInt64(geometry.clusterBits)
    guard let table = try l2Table(of: cluster) else { return nil }
    let slot = try l2Slot(table, cluster)
    var index = entryIndex(cluster)
    let inside = offset & geometry.offsetMask
    let first = entry(slot, index)
    guard isWritable(first.word, first.bitmap, from: inside, count: limit) else { return nil }
    var extent = Qcow2Extent(kind: .data, host: first.word & Qcow2Entry.offsetMask + inside, count: 0)
    try checkWritable(first.word & Qcow2Entry.offsetMask)
    extent.count = geometry.clusterSize - inside
    while extent.count < limit {
      index += 1
      guard index < 1 << geometry.sliceEntryBits else { break }
      let (word, bitmap) = entry(slot, index)
      guard word & Qcow2Entry.offsetMask == extent.host + extent.count, isWritable(word, bitmap, from: 0, count: limit - extent.count)
      else {
        break
      }
      try checkWritable(word & Qcow2Entry.offsetMask)
      extent.count += geometry.clusterSize
    }
    extent.count = min(extent.count, limit)
    return extent
  }

  /// Whether a cluster belongs to this entry alone, and all that is written of it is there.
  @inline(__always)
  private func isWritable(_ word: UInt64, _ bitmap: UInt64, from inside: UInt64, count: UInt64) -> Bool {
    let flags = word & (Qcow2Entry.copied | Qcow2Entry.compressed)
    guard flags == Qcow2Entry.copied, word & Qcow2Entry.offsetMask != 0, word & geometry.offsetMask & ~Qcow2Entry.zero == 0 else {
      return false
    }
    if !geometry.hasSubclusters { return word & Qcow2Entry.zero == 0 }
    let last = min(inside + count, geometry.clusterSize) - 1
    let low = inside >> UInt64(geometry.subclusterBits)
    let high = last >> UInt64(geometry.subclusterBits)
    let wanted: UInt64 = ((1 << (high - low + 1)) - 1) << low
    return bitmap & wanted == wanted && bitmap >> 32 & wanted == 0
  }

  /// Refuses what a sound image never has: guest data in the place of tables, or beyond the file.
  @inline(__always)
  func checkWritable(_ host: UInt64) throws(DiskFailure) {
    if isMetadata(host >> UInt64(geometry.clusterBits)) { throw damaged("an L2 entry refers to metadata at \(host)") }
    if host >= fileEnd { throw damaged("an L2 entry refers to \(host), beyond the end of the file") }
  }
}
