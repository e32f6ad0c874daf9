internal import Glibc
internal import Platform

/// What is done to a qcow2 image's tables, by one thread at a time: `Qcow2Image` has the lock.
///
/// The order of what reaches the disk is what keeps an image whole when its user is killed between any two writes:
/// 1. Data and new tables are written where nothing refers to; their refcounts go up in the cache.
/// 2. A flush writes the refcounts, waits for the disk, and only then writes the entries of the first and second level that refer to them.
/// 3. What an entry no longer refers to has its refcount lowered, and is used again, after that entry is on the disk and all requests that
///    may still use the place have ended (`InFlight`).
/// So at any time the refcounts on the disk are right or too high: clusters may be lost until the next repair, never used twice.
final class Qcow2Engine {
  let file: any ImageFile
  let geometry: Qcow2Geometry
  /// What unallocated clusters read as; zeroes where there is none.
  let backing: (any SynchronousDisk)?
  let isReadOnly: Bool
  /// Whether freed clusters become holes of the file.
  var punchesHoles: Bool
  var header: Qcow2Header
  var layout: Qcow2Layout

  /// The first table: as many entries as the disk needs.
  var l1: [UInt64]
  var dirtyL1: Set<Int> = []
  let l2: SliceCache
  /// Which clusters are second tables, at the least.
  var l2Filter: ClusterFilter

  var refcountTable: [UInt64]
  var dirtyRefcountTable: [Int] = []
  let refcounts: SliceCache
  var refcountFilter: ClusterFilter

  /// The file's length, as far as it was made.
  var fileEnd: UInt64
  /// The first cluster after all that was ever used: what is beyond is zero.
  var tail: UInt64
  /// Clusters below that are free and may be used at once.
  var freeRuns: [ClusterRun] = []
  /// Where the search for clusters that were free before goes on, and ends.
  var searchNext: UInt64 = 0
  private(set) var searchEnd: UInt64
  /// What entries no longer refer to, those entries not being on the disk yet.
  var freed: [ClusterRun] = []
  /// The same, the entries being on the disk, but requests perhaps under way.
  var waiting: [WaitingRun] = []
  let inFlight: InFlight
  /// Counts up whenever all requests of an earlier number have ended.
  var epoch: UInt64 = 2

  /// Whether the file says that it is in use.
  var isMarkedDirty: Bool
  /// Whether clusters were lost that only a repair finds.
  var hasLeaked = false
  /// Whether a barrier has failed, after which nothing is known of what is on the disk.
  var isBroken = false
  /// The first thing that was found wrong in the metadata.
  var damage: String?
  private var scratch: MemoryMapping?
  private var zeroes: MemoryMapping?

  /// Some adjacent clusters.
  struct ClusterRun {
    var start: UInt64
    var count: UInt64
    /// Whether they are known to hold zeroes.
    var isZero = false
  }

  struct WaitingRun {
    let run: ClusterRun
    let epoch: UInt64
  }

  /// Takes an image whose header was read, and reads its first tables.
  ///
  /// - Throws: `Qcow2Problem`, `DiskError` or `DiskFailure`.
  init(
    _ header: Qcow2Header, file: any ImageFile, backing: (any SynchronousDisk)?, isReadOnly: Bool, punchesHoles: Bool, cacheSize: Int,
    inFlight: InFlight
  ) throws {
    self.file = file
    self.header = header
    self.backing = backing
    self.isReadOnly = isReadOnly
    self.punchesHoles = punchesHoles
    self.inFlight = inFlight
    let geometry = header.geometry
    self.geometry = geometry
    layout = try Qcow2Layout(header, file)
    let l1Count = Int(geometry.l1Entries(forSize: header.size))
    l1 = try file.words(at: header.l1Offset, count: l1Count)
    refcountTable = try file.words(at: header.refcountTableOffset, count: Int(header.refcountTableClusters) << (geometry.clusterBits - 3))
    l2Filter = ClusterFilter(count: l1Count)
    for entry in l1 where entry & Qcow2Entry.offsetMask != 0 {
      l2Filter.insert((entry & Qcow2Entry.offsetMask) >> UInt64(geometry.clusterBits))
    }
    let blocks = refcountTable.reduce(0) { $0 + ($1 == 0 ? 0 : 1) }
    refcountFilter = ClusterFilter(count: blocks + 64)
    for entry in refcountTable where entry != 0 { refcountFilter.insert(entry >> UInt64(geometry.clusterBits)) }
    let sliceSize = 1 << geometry.sliceBits
    refcounts = try SliceCache(bytes: isReadOnly ? 0 : cacheSize / 7, sliceSize: sliceSize)
    l2 = try SliceCache(bytes: cacheSize - refcounts.capacity, sliceSize: sliceSize)
    fileEnd = file.length
    tail = geometry.clusters(holding: fileEnd)
    searchEnd = tail
    isMarkedDirty = header.isDirty
    if file.hasFixedLength, !isReadOnly {
      tail = min(tail, try endOfUsed())
      searchEnd = tail
    }
  }

  var size: UInt64 { header.size }

  /// Notes what is wrong with the metadata, once, and fails.
  func damaged(_ what: @autoclosure () -> String) -> DiskFailure {
    if damage == nil { damage = what() }
    return DiskFailure(EIO)
  }

  /// Memory of two clusters, the greatest that a copy or a compressed cluster takes.
  func scratchMemory() throws(DiskFailure) -> MemoryMapping {
    if let scratch { return scratch }
    do {
      let memory = try MemoryMapping.anonymous(count: Int(geometry.clusterSize) * 2)
      scratch = memory
      return memory
    } catch { throw DiskFailure(error.code) }
  }

  /// A cluster of zeroes, never written.
  func zeroMemory() throws(DiskFailure) -> MemoryMapping {
    if let zeroes { return zeroes }
    do {
      let memory = try MemoryMapping.anonymous(count: Int(geometry.clusterSize))
      zeroes = memory
      return memory
    } catch { throw DiskFailure(error.code) }
  }

  /// Writes that must not be overtaken by later ones are on the disk when this returns.
  func barrier() throws(DiskFailure) {
    guard !isBroken else { throw DiskFailure(EIO) }
    do { try file.barrier() } catch {
      isBroken = true
      throw error
    }
  }

  /// Whether a place of the file holds metadata that requests must not touch: what a write checks before it goes there.
  @inline(__always)
  func isMetadata(_ cluster: UInt64) -> Bool {
    if layout.contains(cluster << UInt64(geometry.clusterBits)) { return true }
    if l2Filter.mayContain(cluster), isL2Table(cluster) { return true }
    return refcountFilter.mayContain(cluster) && isRefcountBlock(cluster)
  }

  func isL2Table(_ cluster: UInt64) -> Bool {
    let offset = cluster << UInt64(geometry.clusterBits)
    return l1.contains { $0 & Qcow2Entry.offsetMask == offset }
  }

  func isRefcountBlock(_ cluster: UInt64) -> Bool {
    let offset = cluster << UInt64(geometry.clusterBits)
    return refcountTable.contains { $0 == offset }
  }
}
