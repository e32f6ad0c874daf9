internal import CLinux
internal import Glibc
internal import Platform

// Writes to clusters that are not there yet, or that others use as well.
extension Qcow2Engine {
  private var clusterBits: UInt64 { UInt64(geometry.clusterBits) }

  /// What became of a write.
  enum Written {
    /// So many bytes were written.
    case done(UInt64)
    /// They have a place of their own: the caller writes them there, and needs no lock for it.
    case place(Qcow2Extent)
  }

  /// Writes the first bytes of a list of buffers, as many as go to one place of the file, or finds that place.
  ///
  /// - Parameters:
  ///   - vectors: At least one byte; the list is changed and put back meanwhile.
  ///   - offset: Within the disk; a multiple of 512.
  ///   - count: The bytes of the list, all within the disk.
  @unsafe func write(_ vectors: BufferVectors, at offset: UInt64, count: UInt64) throws(DiskFailure) -> Written {
    guard damage == nil else { throw DiskFailure(EIO) }
    try clearUnknownFeatures()
    if let extent = try mapForWriting(offset, atMost: count) { return .place(extent) }
    return .done(try unsafe writeAllocating(vectors, at: offset, count: count))
  }

  /// What an allocating write does to a run of clusters.
  private struct Placement {
    let cluster: UInt64
    let run: ClusterRun
    /// Whether the clusters belonged to these entries before, so that they stay theirs when the write fails.
    let isReused: Bool
  }

  @unsafe private func writeAllocating(_ vectors: BufferVectors, at offset: UInt64, count: UInt64) throws(DiskFailure) -> UInt64 {
    try markDirty()
    try flushIfMuchWasFreed()
    let cluster = offset >> clusterBits
    let inside = offset & geometry.offsetMask
    let table = try writableL2Table(of: cluster)
    let wanted = try clustersToAllocate(table, cluster, count: geometry.clusters(holding: inside + count))
    let placement: Placement
    if let reused = try reusableCluster(table, cluster) {
      placement = Placement(cluster: cluster, run: ClusterRun(start: reused, count: 1), isReused: true)
    } else {
      placement = Placement(cluster: cluster, run: try allocate(upTo: wanted), isReused: false)
    }
    let span = min(count, placement.run.count << clusterBits - inside)
    do throws(DiskFailure) { try unsafe store(vectors, at: offset, count: span, in: placement) } catch {
      if !placement.isReused { try release(ClusterRun(start: placement.run.start, count: placement.run.count)) }
      throw error
    }
    try lostIfItFails { () throws(DiskFailure) in try link(placement, table) }
    return span
  }

  /// How many clusters from one on need a new place, and have their entries in the same slice.
  private func clustersToAllocate(_ table: UInt64, _ cluster: UInt64, count: UInt64) throws(DiskFailure) -> UInt64 {
    let slot = try l2Slot(table, cluster)
    let first = entryIndex(cluster)
    let last = min(first + Int(clamping: count), 1 << geometry.sliceEntryBits)
    for index in first..<last {
      let (word, bitmap) = entry(slot, index)
      if index > first, word & Qcow2Entry.copied != 0 { return UInt64(index - first) }
      // What is given up must be sound, or somebody else's cluster would be.
      _ = try kind(word, bitmap, 0)
    }
    return UInt64(last - first)
  }

  /// The cluster that an entry has for itself, though not all of it is valid: one of zeroes, or of parts.
  private func reusableCluster(_ table: UInt64, _ cluster: UInt64) throws(DiskFailure) -> UInt64? {
    let word = entry(try l2Slot(table, cluster), entryIndex(cluster)).word
    guard word & (Qcow2Entry.copied | Qcow2Entry.compressed) == Qcow2Entry.copied, word & Qcow2Entry.offsetMask != 0 else { return nil }
    let host = word & Qcow2Entry.offsetMask
    guard host & geometry.offsetMask == 0 else { throw damaged("an L2 entry is not aligned: \(word)") }
    try checkWritable(host)
    return host >> clusterBits
  }

  /// Writes the buffers into new clusters, and what the clusters have before and behind them.
  @unsafe private func store(_ vectors: BufferVectors, at offset: UInt64, count: UInt64, in placement: Placement) throws(DiskFailure) {
    let start = placement.cluster << clusterBits
    let end = start + placement.run.count << clusterBits
    let host = placement.run.start << clusterBits
    try copyOld(from: start, upTo: offset, to: host, placement)
    try copyOld(from: offset + count, upTo: end, to: host + (offset + count - start), placement)
    var done: UInt64 = 0
    let failure = unsafe vectors.withPrefix(Int(count)) { prefix -> DiskFailure? in
      var cursor = unsafe VectorCursor(prefix)
      while done < count {
        let result = unsafe cursor.rest { unsafe file.write($0, at: host + (offset - start) + done) }
        guard result > 0 else { return DiskFailure(result == 0 ? EIO : Int32(-result)) }
        done += UInt64(result)
        if done < count { unsafe cursor.skip(result) }
      }
      return nil
    }
    if let failure { throw failure }
  }

  /// Copies what the disk has in a range, less than a cluster, to a new place.
  private func copyOld(from start: UInt64, upTo end: UInt64, to host: UInt64, _ placement: Placement) throws(DiskFailure) {
    guard start < end else { return }
    let memory = try scratchMemory()
    var done: UInt64 = 0
    while done < end - start {
      let place = start + done
      var extent = Qcow2Extent(kind: .zero, host: 0, count: end - place)
      // Beyond the disk's end there is nothing.
      if place < size { extent = try map(place, atMost: min(end, size) - place) }
      if extent.kind == .backing, place >= backing?.size ?? 0 { extent.kind = .zero }
      let isThere = extent.kind == .zero && placement.run.isZero || extent.kind == .data && extent.host == host + done
      if !isThere {
        unsafe try read(extent, at: place, into: memory.base)
        unsafe try file.store(memory.base, count: Int(extent.count), at: host + done)
      }
      done += extent.count
    }
  }

  /// Reads one extent of at most a cluster into memory of that size.
  @unsafe func read(_ extent: Qcow2Extent, at offset: UInt64, into target: UnsafeMutableRawPointer) throws(DiskFailure) {
    let count = Int(extent.count)
    switch extent.kind {
    case .zero: unsafe memset(target, 0, count)
    case .data: try unsafe file.load(target, count: count, at: extent.host)
    case .backing: try unsafe backing.load(target, count: count, at: offset)
    case .compressed:
      let content = try decompress(extent.host)
      // In bounds: the content is a whole cluster, and the extent ends with it.
      unsafe content.withUnsafeBytes { source in
        if let base = source.baseAddress { unsafe memcpy(target, base + Int(offset & geometry.offsetMask), count) }
      }
    }
  }

  /// Decompresses a cluster.
  func decompress(_ word: UInt64) throws(DiskFailure) -> [UInt8] {
    let (offset, count) = Qcow2Entry.compressedRange(word, clusterBits: geometry.clusterBits)
    let bytes = try file.bytes(at: offset, count: Int(count))
    guard let content = Decompression.cluster(bytes, header.compression, size: Int(geometry.clusterSize)) else {
      throw damaged("a compressed cluster at \(offset) cannot be decompressed")
    }
    return content
  }

  /// Lets the entries refer to their new clusters.
  private func link(_ placement: Placement, _ table: UInt64) throws(DiskFailure) {
    let slot = try l2Slot(table, placement.cluster)
    let first = entryIndex(placement.cluster)
    for number in 0..<Int(placement.run.count) {
      if !placement.isReused { freeEntry(entry(slot, first + number).word) }
      setEntry(slot, first + number, (placement.run.start + UInt64(number)) << clusterBits | Qcow2Entry.copied, bitmap: 0xffff_ffff)
    }
  }

  func setEntry(_ slot: Int, _ index: Int, _ word: UInt64, bitmap: UInt64) {
    if geometry.hasSubclusters {
      l2.setWord(slot, index * 2, word)
      l2.setWord(slot, index * 2 + 1, bitmap)
    } else {
      l2.setWord(slot, index, word)
    }
  }

  /// The second table that maps a cluster, made or copied where it is missing or used by others as well.
  func writableL2Table(of cluster: UInt64) throws(DiskFailure) -> UInt64 {
    let index = Int(cluster >> UInt64(geometry.l2Bits))
    let old = try l2Table(of: cluster)
    if let old, l1[index] & Qcow2Entry.copied != 0 { return old }
    // Its slices may be changed, though others use it: only after a bit was lost. They are on the disk then.
    if old != nil, hasDirtyTables { try flush() }
    let content = try old.map { table throws(DiskFailure) in
      guard table < fileEnd, !isMetadataBesidesL2(table) else { throw damaged("an L2 table at \(table) is not possible") }
      return try file.bytes(at: table, count: Int(geometry.clusterSize))
    }
    let run = try allocate(upTo: 1)
    do throws(DiskFailure) {
      if let content {
        try file.put(content, at: run.start << clusterBits)
      } else if !run.isZero {
        try file.put([UInt8](repeating: 0, count: Int(geometry.clusterSize)), at: run.start << clusterBits)
      }
    } catch {
      try release(ClusterRun(start: run.start, count: 1))
      throw error
    }
    if let old {
      l2.forget(offset: old, count: geometry.clusterSize)
      free(old >> clusterBits)
    }
    l1[index] = run.start << clusterBits | Qcow2Entry.copied
    dirtyL1.insert(index)
    l2Filter.insert(run.start)
    return run.start << clusterBits
  }

  private func isMetadataBesidesL2(_ table: UInt64) -> Bool {
    layout.contains(table) || refcountFilter.mayContain(table >> clusterBits) && isRefcountBlock(table >> clusterBits)
  }
}

extension ImageFile {
  /// Writes the first bytes of a list of buffers to a place that a disk has for them, as many as one call takes.
  @unsafe func write(_ vectors: BufferVectors, to extent: Qcow2Extent) throws(DiskFailure) -> UInt64 {
    let result = unsafe vectors.withPrefix(Int(extent.count)) { unsafe write($0, at: extent.host) }
    guard result > 0 else { throw DiskFailure(result == 0 ? EIO : Int32(-result)) }
    return UInt64(result)
  }
}

extension Optional where Wrapped == any SynchronousDisk {
  /// Reads from a backing file; what it has not is zero.
  @unsafe func load(_ target: UnsafeMutableRawPointer, count: Int, at offset: UInt64) throws(DiskFailure) {
    var available = 0
    if let disk = self, offset < disk.size {
      available = Int(min(UInt64(count), disk.size - offset))
      try unsafe disk.transferAll(isWrite: false, target, count: available, at: offset)
    }
    unsafe memset(target + available, 0, count - available)
  }
}
