internal import Glibc

// How often each cluster of the file is referred to (qcow2 specification, "Host cluster management").
extension Qcow2Engine {
  private var blockBits: UInt64 { UInt64(geometry.refcountBlockBits) }
  private var clusterBits: UInt64 { UInt64(geometry.clusterBits) }

  /// The greatest value of a refcount.
  var refcountLimit: UInt64 { geometry.refcountOrder == 6 ? .max : 1 << (1 << UInt64(geometry.refcountOrder)) - 1 }

  func refcountIndex(_ cluster: UInt64) -> Int { Int(cluster & ((1 << UInt64(geometry.sliceRefcountBits)) - 1)) }

  /// The slot of the cache with a cluster's refcount; nil where no block counts it, so that it is zero.
  func refcountSlot(_ cluster: UInt64) throws(DiskFailure) -> Int? {
    let index = cluster >> blockBits
    guard index < UInt64(refcountTable.count), refcountTable[Int(index)] != 0 else { return nil }
    let block = refcountTable[Int(index)]
    let slice = (cluster & ((1 << blockBits) - 1)) >> UInt64(geometry.sliceRefcountBits)
    let (offset, isBeyondAll) = block.addingReportingOverflow(slice << UInt64(geometry.sliceBits))
    guard !isBeyondAll else { throw damaged("a refcount block at \(block) is beyond any file") }
    if let slot = refcounts.find(offset) { return slot }
    guard isPossibleRefcountBlock(block) else { throw damaged("a refcount block at \(block) is beyond the file or in other metadata") }
    let slot: Int
    if let clean = refcounts.victim(for: offset) {
      slot = clean
    } else {
      // Refcounts in the cache are never lower than what is on the disk needs: they may be written at any time.
      slot = refcounts.oldest(for: offset)
      try refcounts.write(slot, to: file)
    }
    try refcounts.fill(slot, from: file, at: offset)
    return slot
  }

  /// Whether a block is a cluster of the file that is no other table.
  func isPossibleRefcountBlock(_ block: UInt64) -> Bool {
    guard block & geometry.offsetMask == 0, block < min(fileEnd, Qcow2Entry.offsetEnd), !layout.contains(block) else { return false }
    return !(l2Filter.mayContain(block >> clusterBits) && isL2Table(block >> clusterBits))
  }

  func refcount(_ cluster: UInt64) throws(DiskFailure) -> UInt64 {
    guard let slot = try refcountSlot(cluster) else { return 0 }
    return refcounts.refcount(slot, refcountIndex(cluster), order: geometry.refcountOrder)
  }

  /// Sets a refcount whose block exists.
  func setRefcount(_ cluster: UInt64, _ value: UInt64) throws(DiskFailure) {
    guard let slot = try refcountSlot(cluster) else { throw damaged("no refcount block counts the cluster \(cluster)") }
    refcounts.setRefcount(slot, refcountIndex(cluster), order: geometry.refcountOrder, value)
  }

  /// The first cluster behind all that are counted as used: on a device, whose end tells nothing of that.
  func endOfUsed() throws(DiskFailure) -> UInt64 {
    let fixed = geometry.clusters(holding: layout.places.last?.end ?? 0)
    // Blocks that count nothing are passed over, but no endless row of them.
    var end: UInt64 = 1
    for (index, block) in refcountTable.enumerated().reversed().lazy.filter({ $0.element != 0 }).prefix(16) {
      let first = UInt64(index) << blockBits
      guard isPossibleRefcountBlock(block) else { return first + 1 << blockBits }
      let bytes = try file.bytes(at: block, count: Int(geometry.clusterSize))
      let last = (0..<1 << Int(blockBits)).last { bytes.refcount($0, order: geometry.refcountOrder) != 0 }
      if let last { return max(fixed, first + UInt64(last) + 1) }
      end = first
    }
    return max(fixed, end)
  }

  /// Makes sure that a free cluster is counted by a block.
  ///
  /// - Returns: Whether the cluster is still free: where there was no block, it has become one.
  func ensureRefcountBlock(for cluster: UInt64) throws(DiskFailure) -> Bool {
    let index = cluster >> blockBits
    if index >= UInt64(refcountTable.count) {
      try growRefcountTable(toCount: cluster)
      return false
    }
    if refcountTable[Int(index)] != 0 { return true }
    if isMetadata(cluster) { return false }
    try extend(to: cluster + 1)
    var block = [UInt8](repeating: 0, count: Int(geometry.clusterSize))
    block.setRefcountToOne(Int(cluster & ((1 << blockBits) - 1)), order: geometry.refcountOrder)
    try file.put(block, at: cluster << clusterBits)
    refcountTable[Int(index)] = cluster << clusterBits
    dirtyRefcountTable.append(Int(index))
    refcountFilter.insert(cluster)
    return false
  }

  /// Moves the table of blocks to the end of the file, with room for half as much again and blocks that count itself.
  ///
  /// It happens once in many gigabytes, and waits for the disk at each step.
  private func growRefcountTable(toCount cluster: UInt64) throws(DiskFailure) {
    let entryBits = clusterBits - 3
    let start = max(tail, cluster)
    let wanted = max(start >> blockBits + 1, UInt64(refcountTable.count) * 3 / 2)
    var tableClusters = wanted >> entryBits + 1
    var blocks: UInt64 = 1
    // Both count themselves, so that their number grows until it suffices.
    while true {
      let last = start + blocks + tableClusters - 1
      let needed = last >> blockBits - start >> blockBits + 1
      let neededTable = max(tableClusters, (last >> blockBits) >> entryBits + 1)
      if needed <= blocks, neededTable == tableClusters { break }
      blocks = max(blocks, needed)
      tableClusters = neededTable
    }
    let end = start + blocks + tableClusters
    guard tableClusters << clusterBits <= Qcow2Layout.refcountTableLimit, end << clusterBits <= Qcow2Entry.offsetEnd else {
      throw DiskFailure(EFBIG)
    }
    try extend(to: end)
    var table = refcountTable + [UInt64](repeating: 0, count: Int(tableClusters << entryBits) - refcountTable.count)
    let firstIndex = start >> blockBits
    for number in 0..<blocks {
      var block = [UInt8](repeating: 0, count: Int(geometry.clusterSize))
      let range = (firstIndex + number) << blockBits..<(firstIndex + number + 1) << blockBits
      for counted in max(start, range.lowerBound)..<max(start, min(end, range.upperBound)) {
        block.setRefcountToOne(Int(counted - range.lowerBound), order: geometry.refcountOrder)
      }
      // A block that exists already counts clusters of the old table's range: then the new table would not be needed.
      table[Int(firstIndex + number)] = (start + number) << clusterBits
      try file.put(block, at: (start + number) << clusterBits)
    }
    try file.put(table.reduce(into: [UInt8]()) { $0.appendBig($1) }, at: (start + blocks) << clusterBits)
    // Entries that were not written yet are in the new table; what they refer to must be on the disk before it.
    try refcounts.writeAll(to: file)
    try barrier()
    var fields: [UInt8] = []
    fields.appendBig((start + blocks) << clusterBits)
    fields.appendBig(UInt32(tableClusters))
    do { try file.put(fields, at: 48) } catch {
      // Nobody knows which of the two tables the disk has.
      isBroken = true
      throw error
    }
    try barrier()
    let old = ClusterRun(start: header.refcountTableOffset >> clusterBits, count: UInt64(header.refcountTableClusters))
    header.refcountTableOffset = (start + blocks) << clusterBits
    header.refcountTableClusters = UInt32(tableClusters)
    layout.move("refcount table", start: header.refcountTableOffset, end: end << clusterBits)
    refcountTable = table
    dirtyRefcountTable = []
    refcountFilter = ClusterFilter(count: refcountTable.reduce(64) { $0 + ($1 == 0 ? 0 : 1) } * 2)
    for entry in refcountTable where entry != 0 { refcountFilter.insert(entry >> clusterBits) }
    tail = max(tail, end)
    waiting.append(WaitingRun(run: old, epoch: epoch))
  }

  /// Puts changed refcounts on the disk, and with them all that was written before.
  func writeRefcounts() throws(DiskFailure) {
    try refcounts.writeAll(to: file)
    if !dirtyRefcountTable.isEmpty {
      // A table must not refer to a block whose count of itself is not there.
      try barrier()
      try writeRefcountTable()
    }
    try barrier()
  }

  /// Writes what changed of the table of blocks; the blocks are on the disk.
  private func writeRefcountTable() throws(DiskFailure) {
    for index in dirtyRefcountTable {
      var bytes: [UInt8] = []
      bytes.appendBig(refcountTable[index])
      try file.put(bytes, at: header.refcountTableOffset + UInt64(index) * 8)
    }
    dirtyRefcountTable = []
  }
}
