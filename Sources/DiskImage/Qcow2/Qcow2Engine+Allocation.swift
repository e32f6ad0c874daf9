internal import Glibc

// Which clusters of the file are free, and how they become so.
extension Qcow2Engine {
  private var clusterBits: UInt64 { UInt64(geometry.clusterBits) }

  /// The file grows by at least this much at a time, so that its length is seldom set.
  private static let growth: UInt64 = 1 << 20
  /// How many freed ranges are remembered; more are lost until a repair finds them.
  private static let freedLimit = 16384

  /// Takes free clusters, adjacent ones, and counts them as used once.
  ///
  /// - Parameter wanted: The most clusters, at least one. There may be fewer, but not none.
  func allocate(upTo wanted: UInt64) throws(DiskFailure) -> ClusterRun {
    if !waiting.isEmpty { try reclaim() }
    do throws(DiskFailure) { return try takeFree(upTo: wanted) } catch {
      guard [ENOSPC, EDQUOT, EFBIG].contains(error.code), !(freed.isEmpty && waiting.isEmpty) else { throw error }
      // What the disk gave up may be all the room that is left, once no table on the disk refers to it.
      try flush()
      try reclaim()
      return try takeFree(upTo: wanted)
    }
  }

  private func takeFree(upTo wanted: UInt64) throws(DiskFailure) -> ClusterRun {
    while true {
      if freeRuns.isEmpty, searchNext < searchEnd { try searchFreeClusters() }
      if let run = freeRuns.popLast() {
        let taken = try take(run.start, upTo: min(run.count, wanted))
        let passed = max(taken, 1)
        if run.count > passed { freeRuns.append(ClusterRun(start: run.start + passed, count: run.count - passed, isZero: run.isZero)) }
        if taken > 0 { return try reached(ClusterRun(start: run.start, count: taken, isZero: run.isZero)) }
        continue
      }
      let start = tail
      let taken = try take(start, upTo: wanted)
      tail = max(tail, start + max(taken, 1))
      if taken > 0 { return try reached(ClusterRun(start: start, count: taken, isZero: !file.hasFixedLength)) }
    }
  }

  /// Makes the file reach to the end of clusters that were just taken; where it does not, they are free again, beyond its end.
  private func reached(_ run: ClusterRun) throws(DiskFailure) -> ClusterRun {
    do throws(DiskFailure) { try extend(to: run.start + run.count) } catch {
      try release(run)
      throw error
    }
    return run
  }

  /// Counts clusters as used, as many as are free and counted by one slice.
  private func take(_ start: UInt64, upTo wanted: UInt64) throws(DiskFailure) -> UInt64 {
    guard start < (Qcow2Entry.offsetEnd >> clusterBits) - wanted else { throw DiskFailure(EFBIG) }
    guard try ensureRefcountBlock(for: start), let slot = try refcountSlot(start) else { return 0 }
    let index = refcountIndex(start)
    let limit = min(Int(clamping: wanted), 1 << geometry.sliceRefcountBits - index)
    var count = 0
    while count < limit, refcounts.refcount(slot, index + count, order: geometry.refcountOrder) == 0, !isMetadata(start + UInt64(count)) {
      refcounts.setRefcount(slot, index + count, order: geometry.refcountOrder, 1)
      count += 1
    }
    return UInt64(count)
  }

  /// Takes adjacent free clusters at the end of the file.
  func allocateContiguous(_ count: UInt64) throws(DiskFailure) -> UInt64 {
    var start = tail
    search: while true {
      guard start + count < Qcow2Entry.offsetEnd >> clusterBits else { throw DiskFailure(EFBIG) }
      for cluster in start..<start + count {
        let isCounted = try ensureRefcountBlock(for: cluster)
        guard isCounted, try refcount(cluster) == 0, !isMetadata(cluster) else {
          start = max(cluster + 1, tail)
          continue search
        }
      }
      break
    }
    tail = max(tail, start + count)
    try lostIfItFails { () throws(DiskFailure) in
      for cluster in start..<start + count { try setRefcount(cluster, 1) }
      try extend(to: start + count)
    }
    return start
  }

  /// Makes the file reach up to a cluster.
  func extend(to cluster: UInt64) throws(DiskFailure) {
    let needed = cluster << clusterBits
    if needed <= fileEnd { return }
    let length = (needed + Qcow2Engine.growth - 1) / Qcow2Engine.growth * Qcow2Engine.growth
    var code = file.extend(to: length)
    var reached = length
    if code != 0 {
      // Perhaps only the round length is too much (RLIMIT_FSIZE, a small file system).
      code = file.extend(to: needed)
      reached = needed
    }
    if code != 0 { throw DiskFailure(code) }
    fileEnd = reached
  }

  /// Looks at one more slice of refcounts for clusters that were free when the image was opened.
  private func searchFreeClusters() throws(DiskFailure) {
    let end = min(searchEnd, (searchNext >> UInt64(geometry.sliceRefcountBits) + 1) << UInt64(geometry.sliceRefcountBits))
    var found: [ClusterRun] = []
    if let slot = try refcountSlot(searchNext) {
      for cluster in searchNext..<end where refcounts.refcount(slot, refcountIndex(cluster), order: geometry.refcountOrder) == 0 {
        if let last = found.last, last.start + last.count == cluster {
          found[found.count - 1].count += 1
        } else {
          found.append(ClusterRun(start: cluster, count: 1))
        }
      }
    }
    searchNext = end
    freeRuns = found.reversed()
  }

  /// Gives back clusters that nothing on the disk refers to.
  func release(_ run: ClusterRun) throws(DiskFailure) {
    var released = ClusterRun(start: run.start, count: 0, isZero: run.isZero)
    for cluster in run.start..<run.start + run.count {
      let count = try refcount(cluster)
      // Too low already: the image is not sound, and what else uses the cluster must not lose it.
      guard count > 0 else { throw damaged("the cluster \(cluster) is used, but its refcount is 0") }
      guard !isMetadata(cluster) else { throw damaged("an entry refers to metadata in the cluster \(cluster)") }
      try setRefcount(cluster, count - 1)
      guard count == 1 else {
        note(released)
        released = ClusterRun(start: cluster + 1, count: 0, isZero: run.isZero)
        continue
      }
      released.count += 1
    }
    note(released)
  }

  private func note(_ run: ClusterRun) {
    guard run.count > 0 else { return }
    var run = run
    if !run.isZero, punchesHoles {
      let code = file.punchHole(at: run.start << clusterBits, count: run.count << clusterBits)
      run.isZero = code == 0
      if code != 0 { punchesHoles = false }
    }
    // What the search has not passed yet it finds itself; nothing may be noted twice.
    if run.start < searchEnd {
      guard run.start < searchNext else { return }
      run.count = min(run.count, searchNext - run.start)
    }
    if run.start << clusterBits >= fileEnd {
      // Where the file could not grow; all others come first.
      freeRuns.insert(run, at: 0)
    } else if let last = freeRuns.last, last.start + last.count == run.start, last.isZero == run.isZero {
      freeRuns[freeRuns.count - 1].count += run.count
    } else if freeRuns.count < Qcow2Engine.freedLimit {
      freeRuns.append(run)
    }
  }

  /// Notes that entries refer no longer to clusters: they go back when those entries are on the disk.
  func free(_ start: UInt64, count: UInt64 = 1) {
    if let last = freed.last, last.start + last.count == start {
      freed[freed.count - 1].count += count
    } else if freed.count < Qcow2Engine.freedLimit {
      freed.append(ClusterRun(start: start, count: count))
    } else {
      hasLeaked = true
    }
  }

  /// Makes room for more of them.
  func flushIfMuchWasFreed() throws(DiskFailure) { if freed.count >= Qcow2Engine.freedLimit / 2 { try flush() } }

  /// Notes that an L2 entry is given up, whatever it refers to.
  func freeEntry(_ word: UInt64) {
    if word & Qcow2Entry.compressed != 0 {
      let (offset, count) = Qcow2Entry.compressedRange(word, clusterBits: geometry.clusterBits)
      let first = offset >> clusterBits
      // Other compressed clusters may share the first and the last: each counts once for each that does.
      for cluster in first...(offset + count - 1) >> clusterBits { free(cluster) }
    } else if word & Qcow2Entry.offsetMask != 0 {
      free((word & Qcow2Entry.offsetMask) >> clusterBits)
    }
  }

  /// Gives back what has waited long enough.
  func reclaim() throws(DiskFailure) {
    for _ in 0..<2 where inFlight.isEmpty(epoch + 1) { epoch += 1 }
    let ready = waiting.prefix { $0.epoch + 2 <= epoch }.map(\.run)
    waiting.removeFirst(ready.count)
    try lostIfItFails { () throws(DiskFailure) in for run in ready { try release(run) } }
  }

  /// Does something to clusters after whose failure nobody remembers which of them are counted though nothing refers to them: the image is
  /// looked through when it is next opened.
  func lostIfItFails(_ body: () throws(DiskFailure) -> Void) throws(DiskFailure) {
    do throws(DiskFailure) { try body() } catch {
      hasLeaked = true
      throw error
    }
  }
}
