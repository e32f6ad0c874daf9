/// How a qcow2 image's guest offsets and tables are divided (qcow2 specification, "Cluster mapping" and "Refcounts").
struct Qcow2Geometry: Sendable, Equatable {
  /// Bits of an offset within a cluster, 9 to 21.
  let clusterBits: Int
  /// Refcounts have 1 << order bits.
  let refcountOrder: Int
  /// Whether an L2 entry has a second word that tells of its cluster's 32 parts.
  let hasSubclusters: Bool
  let version: UInt32

  /// Bytes of a cluster, and of a table of the second level or of refcounts.
  var clusterSize: UInt64 { 1 << UInt64(clusterBits) }
  var offsetMask: UInt64 { clusterSize - 1 }
  /// Bits of an offset within a subcluster; of a cluster where there are none.
  var subclusterBits: Int { hasSubclusters ? clusterBits - 5 : clusterBits }
  /// Bits of a cluster's number that select the entry of an L2 table.
  var l2Bits: Int { clusterBits - (hasSubclusters ? 4 : 3) }
  /// How many guest bytes an L2 table maps, as a power of two.
  var l1Shift: Int { clusterBits + l2Bits }
  /// How many clusters a refcount block counts, as a power of two.
  var refcountBlockBits: Int { clusterBits + 3 - refcountOrder }

  /// Tables are cached in pieces of this many bytes.
  var sliceBits: Int { min(clusterBits, 12) }
  /// L2 entries of a slice, as a power of two.
  var sliceEntryBits: Int { sliceBits - (hasSubclusters ? 4 : 3) }
  /// Refcounts of a slice, as a power of two.
  var sliceRefcountBits: Int { sliceBits + 3 - refcountOrder }

  /// How many entries an L1 table needs for a disk.
  func l1Entries(forSize size: UInt64) -> UInt64 {
    let span: UInt64 = 1 << UInt64(l1Shift)
    return size >> UInt64(l1Shift) + (size & (span - 1) == 0 ? 0 : 1)
  }

  /// The most memory for cached tables that can be of use: twice what all tables of a disk take, for slices that would have the same place
  /// in the cache; and no less than the usual size, for a disk that grows.
  ///
  /// - Parameter size: The bytes of the disk, any number.
  func usefulCache(forSize size: UInt64) -> Int {
    // No overflow: a cluster has 512 bytes or more, and its entry and refcount together 24 or less.
    let clusters = size >> UInt64(clusterBits) + 1
    let entries = clusters << (hasSubclusters ? 4 : 3)
    let refcounts = clusters << UInt64(refcountOrder) / 8 + 1
    // The engine gives a seventh to refcounts.
    return max(Int(clamping: max(entries / 6 * 14, refcounts * 14)), Qcow2Image.defaultCacheSize)
  }

  /// How many clusters hold so many bytes.
  func clusters(holding bytes: UInt64) -> UInt64 { bytes >> UInt64(clusterBits) + (bytes & offsetMask == 0 ? 0 : 1) }
}

/// The bits of entries of L1 and L2 tables.
enum Qcow2Entry {
  /// The offset in the file.
  static let offsetMask: UInt64 = 0x00ff_ffff_ffff_fe00
  /// Set when the refcount is exactly one: it may be written in place.
  static let copied: UInt64 = 1 << 63
  static let compressed: UInt64 = 1 << 62
  /// Reads as zeroes, whatever the offset is (version 3, without subclusters).
  static let zero: UInt64 = 1

  /// The end of offsets that entries can hold.
  static let offsetEnd: UInt64 = 1 << 56

  /// Where a compressed cluster's bytes are: the descriptor is divided differently for each cluster size.
  static func compressedRange(_ word: UInt64, clusterBits: Int) -> (offset: UInt64, count: UInt64) {
    let shift = UInt64(62 - (clusterBits - 8))
    let offset = word & ((1 << shift) - 1)
    let sectors = (word & (compressed - 1)) >> shift + 1
    return (offset, sectors * 512 - (offset & 511))
  }
}
