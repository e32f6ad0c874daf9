internal import Glibc

/// Counts the references to every cluster and compares them with the refcounts, as qemu-img's check does (qcow2 specification, "Host cluster
/// management"). It works on an engine that nobody else uses, and has done nothing yet.
struct Qcow2Checker {
  private let engine: Qcow2Engine
  private let repair: Qcow2Repair
  private(set) var report = Qcow2Report()
  private var references = ReferenceCounts()
  /// How often each L2 table is referred to, and whether the active state does: each is read once, however often an image names it.
  private var tables: [UInt64: (count: UInt32, isActive: Bool)] = [:]
  private var nextInOrder: UInt64 = 0
  /// For each entry of the refcount table whether it refers to a block, when that was last looked at.
  private var hasBlock: [Bool] = []

  private var geometry: Qcow2Geometry { engine.geometry }
  private var clusterBits: UInt64 { UInt64(engine.geometry.clusterBits) }

  init(_ engine: Qcow2Engine, _ repair: Qcow2Repair) {
    self.engine = engine
    self.repair = repair
  }

  /// Does all of it.
  ///
  /// - Throws: `DiskFailure` or `Qcow2Problem.tooLargeToCheck`.
  mutating func run() throws {
    report.totalClusters = geometry.clusters(holding: engine.size)
    for place in engine.layout.places { try addRange(place.start, place.end - place.start) }
    try addTables()
    for (table, use) in tables.sorted(by: { $0.key < $1.key }) { try addTable(table, use.count, use.isActive) }
    try addRefcountBlocks()
    try addBitmaps()
    try compare()
    try checkFlags()
  }

  private mutating func addRange(_ offset: UInt64, _ count: UInt64, times: UInt32 = 1) throws(Qcow2Problem) {
    guard count > 0 else { return }
    let (last, overflow) = offset.addingReportingOverflow(count - 1)
    let fileEnd = geometry.clusters(holding: engine.fileEnd)
    guard !overflow, last >> clusterBits <= fileEnd else {
      report.corruptions += 1
      return
    }
    for cluster in offset >> clusterBits...last >> clusterBits { try references.add(cluster, times: times) }
  }

  // MARK: First and second tables

  private mutating func addTables() throws {
    try addL1(engine.l1, isActive: true)
    var entries: UInt64 = 0
    for snapshot in engine.layout.snapshots where snapshot.l1Count > 0 {
      entries += UInt64(snapshot.l1Count)
      guard entries <= Qcow2Checker.snapshotEntryLimit else { throw Qcow2Problem.tooLargeToCheck }
      // The layout has checked the place and the number of entries.
      try addL1(try engine.file.words(at: snapshot.l1Offset, count: Int(snapshot.l1Count)), isActive: false)
    }
  }

  /// So many entries of snapshots' L1 tables are looked at: 512 MiB. A file of holes costs its author nothing.
  private static let snapshotEntryLimit: UInt64 = 64 << 20
  /// So many L2 tables are looked at, those of snapshots included: half as many again as the greatest L1 table has, and of great clusters
  /// no more than 64 GiB.
  private var tableLimit: Int { min(6 << 20, (64 << 30) >> geometry.clusterBits) }

  private mutating func addL1(_ entries: [UInt64], isActive: Bool) throws {
    for entry in entries where entry & Qcow2Entry.offsetMask != 0 {
      let table = entry & Qcow2Entry.offsetMask
      try addRange(table, geometry.clusterSize)
      guard table & geometry.offsetMask == 0, table < engine.fileEnd else {
        report.corruptions += 1
        continue
      }
      let known = tables[table] ?? (0, false)
      guard known.count > 0 || tables.count < tableLimit else { throw Qcow2Problem.tooLargeToCheck }
      tables[table] = (known.count &+ 1, known.isActive || isActive)
    }
  }

  private mutating func addTable(_ table: UInt64, _ times: UInt32, _ isActive: Bool) throws {
    let words = try engine.file.words(at: table, count: Int(geometry.clusterSize / 8))
    let step = geometry.hasSubclusters ? 2 : 1
    for index in stride(from: 0, to: words.count, by: step) {
      let word = words[index]
      if word & Qcow2Entry.compressed != 0 {
        // A compressed cluster is never written in place.
        if word & Qcow2Entry.copied != 0 { report.corruptions += 1 }
        let (offset, count) = Qcow2Entry.compressedRange(word, clusterBits: geometry.clusterBits)
        try addRange(offset, count, times: times)
        if isActive {
          report.compressedClusters += 1
          report.allocatedClusters += 1
          report.fragmentedClusters += 1
        }
      } else if word & Qcow2Entry.offsetMask != 0 {
        try addCluster(word & Qcow2Entry.offsetMask, times, isActive)
      }
    }
  }

  private mutating func addCluster(_ host: UInt64, _ times: UInt32, _ isActive: Bool) throws {
    guard host & geometry.offsetMask == 0 else {
      report.corruptions += 1
      return
    }
    try addRange(host, geometry.clusterSize, times: times)
    guard isActive else { return }
    report.allocatedClusters += 1
    if nextInOrder != 0, host != nextInOrder { report.fragmentedClusters += 1 }
    nextInOrder = host + geometry.clusterSize
  }

  // MARK: Refcounts

  private mutating func addRefcountBlocks() throws {
    for block in engine.refcountTable where block != 0 {
      guard engine.isPossibleRefcountBlock(block) else {
        report.corruptions += 1
        continue
      }
      try addRange(block, geometry.clusterSize)
      if references[block >> clusterBits] != 1 { report.corruptions += 1 }
    }
  }

  /// So many refcounts are compared at the most: those of 8 TiB in the smallest usual clusters.
  private static let refcountLimit: UInt64 = 1 << 31

  private mutating func compare() throws {
    var highest: UInt64 = 0
    let blockBits = UInt64(geometry.refcountBlockBits)
    // New blocks go behind all that is used, be it counted or not.
    engine.tail = max(engine.tail, min(references.end, geometry.clusters(holding: engine.fileEnd)))
    // Too high, or too low, where there is a block. What is counted beyond the file's end is in nobody's way.
    let end = engine.tail
    var compared: UInt64 = 0
    for (index, block) in engine.refcountTable.enumerated() where block != 0 && engine.isPossibleRefcountBlock(block) {
      let first = UInt64(index) << blockBits
      guard first < end else { break }
      compared += min(end, first + 1 << blockBits) - first
      guard compared <= Qcow2Checker.refcountLimit else { throw Qcow2Problem.tooLargeToCheck }
      for cluster in first..<min(end, first + 1 << blockBits) {
        let counted = try engine.refcount(cluster)
        let referred = references[cluster]
        if counted > 0 || referred > 0 { highest = max(highest, cluster) }
        if counted != referred { try correct(cluster, counted, referred) }
      }
    }
    // Too low, where there is none; one that is made for the first such cluster counts others behind it.
    findBlocks()
    let (references, hadBlock) = (references, hasBlock)
    try references.forEach { cluster, count in
      highest = max(highest, cluster)
      let index = Int(cluster >> blockBits)
      if !hadBlock.indices.contains(index) || !hadBlock[index] { try correct(cluster, 0, count) }
    }
    report.imageEnd = (highest + 1) << clusterBits
  }

  /// Finds out which entries of the refcount table refer to what can be a block.
  private mutating func findBlocks() {
    hasBlock = engine.refcountTable.map { $0 != 0 && engine.isPossibleRefcountBlock($0) }
  }

  private mutating func correct(_ cluster: UInt64, _ counted: UInt64, _ referred: UInt64) throws {
    let isLeak = counted > referred
    guard repair == .all || repair == .leaks && isLeak, referred <= engine.refcountLimit else {
      if isLeak { report.leaks += 1 } else { report.corruptions += 1 }
      return
    }
    let index = cluster >> UInt64(geometry.refcountBlockBits)
    guard index < UInt64(engine.refcountTable.count) else {
      report.corruptions += 1
      return
    }
    if engine.refcountTable[Int(index)] == 0 { try engine.addRefcountBlock(Int(index)) }
    guard engine.isPossibleRefcountBlock(engine.refcountTable[Int(index)]) else {
      report.corruptions += 1
      return
    }
    try engine.setRefcount(cluster, referred)
    if isLeak { report.leaksFixed += 1 } else { report.corruptionsFixed += 1 }
  }

  // MARK: Flags

  /// An entry says that it may be written in place exactly where its refcount is one.
  private mutating func checkFlags() throws {
    findBlocks()
    for index in engine.l1.indices where engine.l1[index] & Qcow2Entry.offsetMask != 0 {
      let table = engine.l1[index] & Qcow2Entry.offsetMask
      guard table & geometry.offsetMask == 0, table < engine.fileEnd else { continue }
      if try isWrong(engine.l1[index]), mayCorrectFlag() {
        engine.l1[index] ^= Qcow2Entry.copied
        engine.dirtyL1.insert(index)
      }
    }
    for table in tables.filter({ $0.value.isActive }).keys.sorted() { try checkFlags(ofTable: table) }
  }

  private mutating func checkFlags(ofTable table: UInt64) throws {
    let words = try engine.file.words(at: table, count: Int(geometry.clusterSize / 8))
    let step = geometry.hasSubclusters ? 2 : 1
    for index in stride(from: 0, to: words.count, by: step) {
      let word = words[index]
      guard word & Qcow2Entry.compressed == 0, word & Qcow2Entry.offsetMask & ~geometry.offsetMask != 0, try isWrong(word), mayCorrectFlag()
      else {
        continue
      }
      var bytes: [UInt8] = []
      bytes.appendBig(word ^ Qcow2Entry.copied)
      // The refcounts that this rests on were written before, where they were changed.
      try engine.refcounts.writeAll(to: engine.file)
      try engine.file.put(bytes, at: table + UInt64(index) * 8)
    }
  }

  private func isWrong(_ word: UInt64) throws -> Bool {
    let cluster = (word & Qcow2Entry.offsetMask) >> clusterBits
    let index = Int(cluster >> UInt64(geometry.refcountBlockBits))
    let isOne = try hasBlock.indices.contains(index) && hasBlock[index] && engine.refcount(cluster) == 1
    return isOne != (word & Qcow2Entry.copied != 0)
  }

  /// Counts a wrong flag; returns whether it is to be made right.
  private mutating func mayCorrectFlag() -> Bool {
    if repair == .all { report.corruptionsFixed += 1 } else { report.corruptions += 1 }
    return repair == .all
  }
}

// MARK: Bitmaps

extension Qcow2Checker {
  /// Counts what bitmaps take (qcow2 specification, "Bitmaps"), while they are valid: afterwards they are lost space.
  private mutating func addBitmaps() throws {
    guard let data = engine.header.bitmaps, engine.header.autoclear & Qcow2Header.Feature.bitmaps != 0 else { return }
    let fields = BigEndian(data)
    guard let count = fields.word32(0), let size = fields.word64(8), let offset = fields.word64(16), count <= 65535, size <= 64 << 20,
      offset < engine.fileEnd, size <= engine.fileEnd - offset
    else {
      report.corruptions += 1
      return
    }
    try addRange(offset, size)
    let directory = BigEndian(try engine.file.bytes(at: offset, count: Int(size)))
    var place = 0
    // All tables together: many bitmaps may name the same table, and it is read for each.
    var entriesLeft: UInt32 = 8 << 20
    for _ in 0..<count {
      guard let table = directory.word64(place), let entries = directory.word32(place + 8), let name = directory.word16(place + 18),
        let extra = directory.word32(place + 20), entries <= entriesLeft, table < engine.fileEnd,
        UInt64(entries) * 8 <= engine.fileEnd - table
      else {
        report.corruptions += 1
        return
      }
      entriesLeft -= entries
      try addRange(table, UInt64(entries) * 8)
      for word in try engine.file.words(at: table, count: Int(entries)) where word & Qcow2Entry.offsetMask != 0 {
        try addRange(word & Qcow2Entry.offsetMask, geometry.clusterSize)
      }
      place += (24 + Int(name) + Int(extra) + 7) / 8 * 8
    }
  }
}
