internal import CLinux
internal import Glibc
internal import Platform

extension Qcow2Image {
  /// What a new image is like.
  public struct Format: Sendable, Equatable {
    /// Bytes of a cluster as a power of two, 9 to 21.
    public var clusterBits = 16
    /// 2 or 3.
    public var version: UInt32 = 3
    /// Bits of a refcount as a power of two, 0 to 6; version 2 has 4 only.
    public var refcountOrder = 4
    /// Whether refcounts may be written late (version 3).
    public var hasLazyRefcounts = false
    /// The name of the backing file as it goes into the image, and its format: `raw` or `qcow2`.
    public var backing: (name: String, format: String)?

    /// The usual format: version 3, clusters of 64 KiB, refcounts of 16 bits.
    public init() {}

    /// Whether two are the same.
    public static func == (one: Format, other: Format) -> Bool {
      one.clusterBits == other.clusterBits && one.version == other.version && one.refcountOrder == other.refcountOrder
        && one.hasLazyRefcounts == other.hasLazyRefcounts && one.backing?.name == other.backing?.name
        && one.backing?.format == other.backing?.format
    }
  }

  /// Makes a new file with an empty disk.
  ///
  /// - Parameters:
  ///   - path: A file that does not exist.
  ///   - size: The disk's bytes, a multiple of 512.
  /// - Throws: `DiskError`; then there is no file.
  public static func create(path: String, size: UInt64, format: Format = Format()) throws(DiskError) {
    let new = try NewFile(path: path)
    let descriptor: OwnedDescriptor
    do { descriptor = try OwnedDescriptor.duplicate(new.number) } catch { throw .system(error) }
    let file = RawImage(
      descriptor: descriptor, path: path, options: RawImage.Options(),
      facts: RawImage.Facts(size: 0, alignment: 512, bufferAlignment: 1, isMemory: false))
    try create(file: file, path: path, size: size, format: format)
    try new.keep()
  }

  /// Makes an empty disk in an empty file.
  ///
  /// - Returns: The file's bytes.
  @discardableResult
  public static func create(file: any ImageFile, path: String, size: UInt64, format: Format = Format()) throws(DiskError) -> UInt64 {
    do {
      var length: UInt64 = 0
      for (offset, bytes) in try parts(size: size, format: format) {
        try file.put(bytes, at: offset)
        length = max(length, offset + UInt64(bytes.count))
      }
      try file.barrier()
      return length
    } catch { throw DiskError.of(error, path) }
  }

  /// What an empty image consists of: header, refcount table, refcount blocks, L1 table.
  private static func parts(size: UInt64, format: Format) throws(Qcow2Problem) -> [(offset: UInt64, bytes: [UInt8])] {
    guard (9...21).contains(format.clusterBits) else { throw .clusterBits(UInt32(clamping: format.clusterBits)) }
    guard format.version == 2 || format.version == 3 else { throw .version(format.version) }
    guard (0...6).contains(format.refcountOrder), format.version == 3 || format.refcountOrder == 4 else {
      throw .refcountOrder(UInt32(clamping: format.refcountOrder))
    }
    var header = Qcow2Header()
    header.version = format.version
    header.clusterBits = format.clusterBits
    header.refcountOrder = format.refcountOrder
    header.size = size
    header.compatible = format.hasLazyRefcounts && format.version == 3 ? Qcow2Header.Feature.lazyRefcounts : 0
    header.headerLength = format.version == 3 ? 112 : 72
    let geometry = header.geometry
    let l1Count = geometry.l1Entries(forSize: size)
    guard size > 0, size % 512 == 0, l1Count <= Qcow2Layout.l1Limit / 8 else { throw .size(size) }
    let l1Clusters = geometry.clusters(holding: l1Count * 8)
    // Blocks count themselves and the table of them.
    var blocks: UInt64 = 1
    var tables: UInt64 = 1
    while true {
      let all = 1 + tables + blocks + l1Clusters
      let neededBlocks = (all - 1) >> UInt64(geometry.refcountBlockBits) + 1
      let neededTables = geometry.clusters(holding: neededBlocks * 8)
      if neededBlocks <= blocks, neededTables <= tables { break }
      blocks = max(blocks, neededBlocks)
      tables = max(tables, neededTables)
    }
    let bits = UInt64(format.clusterBits)
    header.refcountTableOffset = 1 << bits
    header.refcountTableClusters = UInt32(tables)
    header.l1Offset = (1 + tables + blocks) << bits
    header.l1Count = UInt32(l1Count)
    guard let first = header.encoded(backing: format.backing) else { throw .backingName }
    var table: [UInt8] = []
    for block in 0..<blocks { table.appendBig((1 + tables + block) << bits) }
    table += [UInt8](repeating: 0, count: Int(tables << bits) - table.count)
    let counts = refcounts(of: 1 + tables + blocks + l1Clusters, order: format.refcountOrder, size: Int(blocks << bits))
    return [
      (0, first), (1 << bits, table), ((1 + tables) << bits, counts),
      (header.l1Offset, [UInt8](repeating: 0, count: Int(l1Clusters << bits))),
    ]
  }

  /// Blocks in which the first clusters have the refcount one.
  private static func refcounts(of clusters: UInt64, order: Int, size: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: size)
    for cluster in 0..<Int(clusters) { bytes.setRefcountToOne(cluster, order: order) }
    return bytes
  }
}

extension Qcow2Header {
  /// The header as the file has it, with what belongs to it; nil when that is more than a cluster, or the name too long.
  func encoded(backing: (name: String, format: String)?) -> [UInt8]? {
    var extensions: [UInt8] = []
    if let backing {
      let format = Array(backing.format.utf8)
      extensions.appendBig(Extension.backingFormat)
      extensions.appendBig(UInt32(format.count))
      extensions += format + [UInt8](repeating: 0, count: (8 - format.count % 8) % 8)
    }
    extensions += [UInt8](repeating: 0, count: 8)
    let name = Array((backing?.name ?? "").utf8)
    guard name.count <= Qcow2Header.backingNameLimit, backing == nil || !name.isEmpty else { return nil }
    let nameOffset = Int(headerLength) + extensions.count
    var bytes = Qcow2Header.magic
    bytes.appendBig(version)
    bytes.appendBig(UInt64(name.isEmpty ? 0 : nameOffset))
    bytes.appendBig(UInt32(name.count))
    bytes.appendBig(UInt32(clusterBits))
    bytes.appendBig(size)
    bytes.appendBig(UInt32(0))
    bytes.appendBig(l1Count)
    bytes.appendBig(l1Offset)
    bytes.appendBig(refcountTableOffset)
    bytes.appendBig(refcountTableClusters)
    bytes.appendBig(snapshotCount)
    bytes.appendBig(snapshotOffset)
    if version == 3 {
      bytes.appendBig(incompatible)
      bytes.appendBig(compatible)
      bytes.appendBig(autoclear)
      bytes.appendBig(UInt32(refcountOrder))
      bytes.appendBig(headerLength)
      // The method of compression, and what fills the field up.
      bytes += [compression.rawValue] + [UInt8](repeating: 0, count: 7)
    }
    bytes += extensions + name
    guard bytes.count <= 1 << clusterBits else { return nil }
    return bytes + [UInt8](repeating: 0, count: 1 << clusterBits - bytes.count)
  }
}
