internal import Glibc

extension Qcow2Engine {
  /// Makes an image that was not closed sound again, before anybody uses it. Version 2 has no mark for that: it is always looked at.
  ///
  /// - Throws: `Qcow2Problem.damaged` when more than refcounts is wrong.
  func repairAfterCrash() throws {
    guard header.isDirty || geometry.version == 2 else { return }
    var checker = Qcow2Checker(self, .all)
    try checker.run()
    guard checker.report.isClean else { throw Qcow2Problem.damaged(checker.report.leaks + checker.report.corruptions) }
    isMarkedDirty = true
    try settle()
    if let damage { throw Qcow2Problem.table("metadata", damage) }
  }

  /// Makes a block for clusters that are used, but not counted.
  func addRefcountBlock(_ index: Int) throws(DiskFailure) {
    // Only beyond the file's end is it known that a cluster is free.
    searchNext = searchEnd
    let run = try allocate(upTo: 1)
    // The cluster for the block may be counted by just this block.
    guard refcountTable[index] == 0 else { return try release(run) }
    try file.put([UInt8](repeating: 0, count: Int(geometry.clusterSize)), at: run.start << UInt64(geometry.clusterBits))
    refcountTable[index] = run.start << UInt64(geometry.clusterBits)
    dirtyRefcountTable.append(index)
    refcountFilter.insert(run.start)
  }
}
