/// Where an image's fixed tables are, checked against the file and against each other before anything is read or reserved for them.
struct Qcow2Layout: Sendable {
  /// A place in the file that only metadata may use.
  struct Place: Sendable, Equatable {
    let name: String
    let start: UInt64
    let end: UInt64
  }

  /// Limits of QEMU, so that each image which it makes can be used and a hostile one costs little: bytes of an L1 table, bytes of a refcount
  /// table, snapshots, and bytes of extra data of a snapshot.
  static let l1Limit: UInt64 = 32 << 20
  static let refcountTableLimit: UInt64 = 8 << 20
  static let snapshotLimit: UInt32 = 65536
  static let snapshotExtraLimit: UInt32 = 1024

  /// A saved state of the disk, of which only the first table matters here.
  struct Snapshot: Sendable, Equatable {
    let l1Offset: UInt64
    let l1Count: UInt32
  }

  let snapshots: [Snapshot]
  /// The bytes of the table of snapshots.
  let snapshotTableSize: UInt64
  /// The fixed tables, sorted; they share nothing.
  private(set) var places: [Place]

  /// Looks for what a header names in its file.
  ///
  /// - Throws: `Qcow2Problem`, or `DiskFailure` when the file cannot be read.
  init(_ header: Qcow2Header, _ file: any ImageFile) throws {
    let geometry = header.geometry
    guard header.size > 0, header.size % 512 == 0, geometry.l1Entries(forSize: header.size) <= Qcow2Layout.l1Limit / 8 else {
      throw Qcow2Problem.size(header.size)
    }
    // The last cluster may be cut short.
    let end = geometry.clusters(holding: file.length) << UInt64(geometry.clusterBits)
    var places = [Place(name: "header", start: 0, end: geometry.clusterSize)]
    func add(_ name: String, _ offset: UInt64, _ count: UInt64, limit: UInt64) throws(Qcow2Problem) {
      guard count <= limit else { throw .table(name, "has \(count) bytes, which is more than \(limit)") }
      guard offset & geometry.offsetMask == 0, offset > 0 else { throw .table(name, "is at \(offset), which is not possible") }
      guard offset <= end, count <= end - offset else { throw .table(name, "is beyond the end of the file") }
      let size = geometry.clusters(holding: count) << UInt64(geometry.clusterBits)
      places.append(Place(name: name, start: offset, end: offset + size))
    }
    guard UInt64(header.l1Count) >= geometry.l1Entries(forSize: header.size) else {
      throw Qcow2Problem.table("L1 table", "has \(header.l1Count) entries, which is too few for the disk")
    }
    try add("L1 table", header.l1Offset, UInt64(header.l1Count) * 8, limit: Qcow2Layout.l1Limit)
    guard header.refcountTableClusters > 0 else { throw Qcow2Problem.table("refcount table", "has no entry") }
    try add(
      "refcount table", header.refcountTableOffset, UInt64(header.refcountTableClusters) << UInt64(geometry.clusterBits),
      limit: Qcow2Layout.refcountTableLimit)
    (snapshots, snapshotTableSize) = try Qcow2Layout.readSnapshots(header, file, end: end)
    if header.snapshotCount > 0 { try add("snapshot table", header.snapshotOffset, snapshotTableSize, limit: UInt64(64) << 20) }
    for snapshot in snapshots where snapshot.l1Count > 0 {
      try add("snapshot's L1 table", snapshot.l1Offset, UInt64(snapshot.l1Count) * 8, limit: Qcow2Layout.l1Limit)
    }
    self.places = places.sorted { $0.start < $1.start }
    for (one, next) in zip(self.places, self.places.dropFirst()) where one.end > next.start {
      throw Qcow2Problem.overlap(one.name, next.name)
    }
  }

  private static func readSnapshots(
    _ header: Qcow2Header, _ file: any ImageFile, end: UInt64
  ) throws -> (snapshots: [Snapshot], size: UInt64) {
    let name = "snapshot table"
    guard header.snapshotCount <= snapshotLimit else {
      throw Qcow2Problem.table(name, "has \(header.snapshotCount) entries, which is more than \(snapshotLimit)")
    }
    var snapshots: [Snapshot] = []
    var offset = header.snapshotOffset
    guard header.snapshotCount == 0 || offset < end else { throw Qcow2Problem.table(name, "is beyond the end of the file") }
    for _ in 0..<header.snapshotCount {
      guard offset <= end, end - offset >= 40 else { throw Qcow2Problem.table(name, "is beyond the end of the file") }
      // Eight bytes of the first table's offset, four of its entries, two lengths, dates and sizes, four of extra data's length.
      let entry = BigEndian(try file.bytes(at: offset, count: 40))
      let extra = entry.word32(36) ?? 0
      guard extra <= snapshotExtraLimit else { throw Qcow2Problem.table(name, "has \(extra) bytes of extra data in an entry") }
      snapshots.append(Snapshot(l1Offset: entry.word64(0) ?? 0, l1Count: entry.word32(8) ?? 0))
      let count = 40 + UInt64(extra) + UInt64(entry.word16(12) ?? 0) + UInt64(entry.word16(14) ?? 0)
      offset += (count + 7) / 8 * 8
    }
    guard offset <= end || header.snapshotCount == 0 else { throw Qcow2Problem.table(name, "is beyond the end of the file") }
    return (snapshots, offset - header.snapshotOffset)
  }

  /// Whether an offset is in one of the fixed tables.
  func contains(_ offset: UInt64) -> Bool {
    var low = 0
    var high = places.count
    while low < high {
      let middle = (low + high) / 2
      if places[middle].end <= offset { low = middle + 1 } else { high = middle }
    }
    return low < places.count && places[low].start <= offset
  }

  /// Notes that a table has moved.
  mutating func move(_ name: String, start: UInt64, end: UInt64) {
    places.removeAll { $0.name == name }
    places.append(Place(name: name, start: start, end: end))
    places.sort { $0.start < $1.start }
  }
}

/// Which clusters may hold tables: a set that says yes too often, but never no wrongly (a Bloom filter).
struct ClusterFilter {
  private var words: [UInt64]
  private let mask: UInt64

  /// Room for about `count` clusters, at 16 bits each.
  init(count: Int) {
    var bits = 1024
    while bits < count * 16 { bits *= 2 }
    words = [UInt64](repeating: 0, count: bits / 64)
    mask = UInt64(bits - 1)
  }

  mutating func insert(_ cluster: UInt64) {
    let hash = ClusterFilter.hash(cluster)
    for part in [hash, hash >> 21, hash >> 42] { words[Int((part & mask) >> 6)] |= 1 << (part & 63) }
  }

  @inline(__always)
  func mayContain(_ cluster: UInt64) -> Bool {
    let hash = ClusterFilter.hash(cluster)
    guard words[Int((hash & mask) >> 6)] >> (hash & 63) & 1 != 0 else { return false }
    let second = hash >> 21
    guard words[Int((second & mask) >> 6)] >> (second & 63) & 1 != 0 else { return false }
    let third = hash >> 42
    return words[Int((third & mask) >> 6)] >> (third & 63) & 1 != 0
  }

  private static func hash(_ cluster: UInt64) -> UInt64 {
    let product = cluster &* 0x9e37_79b9_7f4a_7c15
    return product ^ product >> 32
  }
}
