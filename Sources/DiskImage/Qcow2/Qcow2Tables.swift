internal import Platform

/// The tables of a qcow2 image as they are in the file, for people who look for what is wrong with it.
public struct Qcow2Tables {
  private let file: RawImage
  /// What the image says of itself.
  public let header: Qcow2Header
  private let geometry: Qcow2Geometry

  /// Opens an image to be looked at. It is not locked, so that one in use can be looked at as well, and no backing file is.
  ///
  /// - Throws: `DiskError` when the file is no qcow2 image, or its tables are not where the file has room for them.
  public init(path: String) throws(DiskError) {
    var options = RawImage.Options()
    options.isReadOnly = true
    options.isLocked = false
    file = try RawImage(container: try RawImage.open(path, options), path: path, options: options)
    do {
      header = try Qcow2Image.header(of: file)
      _ = try Qcow2Layout(header, file)
    } catch { throw DiskError.of(error, path) }
    geometry = header.geometry
  }

  /// A header's field, by the name that the specification gives it.
  public struct Field: Sendable, Equatable {
    /// The name.
    public let name: String
    /// The value.
    public let value: UInt64
  }

  /// The header's numbers, in the order of the file.
  public var fields: [Field] {
    let numbers: [(String, UInt64)] = [
      ("version", UInt64(header.version)), ("cluster_bits", UInt64(header.clusterBits)), ("size", header.size),
      ("l1_size", UInt64(header.l1Count)), ("l1_table_offset", header.l1Offset), ("refcount_table_offset", header.refcountTableOffset),
      ("refcount_table_clusters", UInt64(header.refcountTableClusters)), ("nb_snapshots", UInt64(header.snapshotCount)),
      ("snapshots_offset", header.snapshotOffset), ("incompatible_features", header.incompatible),
      ("compatible_features", header.compatible),
      ("autoclear_features", header.autoclear), ("refcount_order", UInt64(header.refcountOrder)),
      ("header_length", UInt64(header.headerLength)),
    ]
    return numbers.map { Field(name: $0.0, value: $0.1) }
  }

  /// The entries of the first table.
  public func l1() throws(DiskError) -> [UInt64] { try words(at: header.l1Offset, count: Int(header.l1Count)) }

  /// The entries of the second table that an entry of the first refers to; empty where it refers to none.
  public func l2(_ index: Int) throws(DiskError) -> [UInt64] {
    try table(of: try l1(), index, mask: Qcow2Entry.offsetMask, "L1")
  }

  /// The offsets of the refcount blocks.
  public func refcountTable() throws(DiskError) -> [UInt64] {
    try words(at: header.refcountTableOffset, count: Int(header.refcountTableClusters) << (geometry.clusterBits - 3))
  }

  /// The refcounts of a block; empty where there is no such block.
  public func refcountBlock(_ index: Int) throws(DiskError) -> [UInt64] {
    let words = try table(of: try refcountTable(), index, mask: .max, "refcount table")
    let bits = 1 << header.refcountOrder
    guard bits < 64 else { return words }
    let mask: UInt64 = (1 << UInt64(bits)) - 1
    return words.flatMap { word in
      // Counts of less than a byte begin at its least significant bit, larger ones are stored most significant byte first.
      (0..<(64 / bits)).map { position in
        let shift = bits < 8 ? (56 - position * bits / 8 * 8) + position * bits % 8 : 64 - bits * (position + 1)
        return word >> UInt64(shift) & mask
      }
    }
  }

  private func table(of entries: [UInt64], _ index: Int, mask: UInt64, _ name: String) throws(DiskError) -> [UInt64] {
    guard entries.indices.contains(index) else {
      throw .qcow2(file.path, .table(name, "has \(entries.count) entries, and none of number \(index)"))
    }
    let offset = entries[index] & mask
    return offset == 0 ? [] : try words(at: offset, count: 1 << (geometry.clusterBits - 3))
  }

  /// What is beyond the file's end is zero.
  private func words(at offset: UInt64, count: Int) throws(DiskError) -> [UInt64] {
    guard offset <= file.length else { return [UInt64](repeating: 0, count: count) }
    do { return try file.words(at: offset, count: count) } catch { throw DiskError.of(error, file.path) }
  }
}
