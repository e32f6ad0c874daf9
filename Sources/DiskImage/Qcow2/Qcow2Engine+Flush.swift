internal import Glibc

// What reaches the disk, and in which order.
extension Qcow2Engine {
  /// Whether a flush must write tables: otherwise it is only the file's own.
  var hasDirtyTables: Bool { !l2.dirtySlots.isEmpty || !dirtyL1.isEmpty }

  /// Puts everything on the disk.
  func flush() throws(DiskFailure) {
    guard hasDirtyTables else { return try barrier() }
    // Data, new tables and refcounts, before what refers to them.
    try writeRefcounts()
    try l2.writeAll(to: file)
    try writeL1()
    try barrier()
    for run in freed { waiting.append(WaitingRun(run: run, epoch: epoch)) }
    freed.removeAll(keepingCapacity: true)
    try reclaim()
  }

  private func writeL1() throws(DiskFailure) {
    for index in dirtyL1.sorted() {
      var bytes: [UInt8] = []
      bytes.appendBig(l1[index])
      try file.put(bytes, at: header.l1Offset + UInt64(index) * 8)
    }
    dirtyL1.removeAll(keepingCapacity: true)
  }

  /// Before the first write: features that we do not know, and that others believe only while nobody writes, are given up.
  func clearUnknownFeatures() throws(DiskFailure) {
    guard header.mustClearFeatures else { return }
    let old = header
    header.autoclear = 0
    do { try writeFeatures() } catch {
      // Nothing may be written as long as the file says that what it had before is still true.
      header = old
      throw error
    }
  }

  /// Before the first change of tables: whoever opens the image next, after a crash, looks for lost clusters.
  func markDirty() throws(DiskFailure) {
    guard !isBroken, damage == nil else { throw DiskFailure(EIO) }
    if isMarkedDirty { return }
    isMarkedDirty = true
    guard geometry.version == 3 else { return }
    let old = header
    header.incompatible |= Qcow2Header.Feature.dirty
    header.autoclear = 0
    do { try writeFeatures() } catch {
      header = old
      isMarkedDirty = false
      throw error
    }
  }

  private func writeFeatures() throws(DiskFailure) {
    var fields: [UInt8] = []
    fields.appendBig(header.incompatible)
    fields.appendBig(header.compatible)
    fields.appendBig(header.autoclear)
    try file.put(fields, at: 72)
    try barrier()
  }

  /// Leaves the image as one that was closed well: everything is on the disk and nothing is lost.
  func settle() throws(DiskFailure) {
    guard !isReadOnly, isMarkedDirty else { return }
    try flush()
    try reclaim()
    // What was given back last.
    try writeRefcounts()
    guard waiting.isEmpty, freed.isEmpty, !hasLeaked, damage == nil else { return }
    if geometry.version == 3 {
      header.incompatible &= ~Qcow2Header.Feature.dirty
      try writeFeatures()
    }
    isMarkedDirty = false
  }
}
