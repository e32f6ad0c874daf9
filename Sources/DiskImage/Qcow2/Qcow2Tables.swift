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
    let offset = try entry(index, of: try l1(), "L1 table") & Qcow2Entry.offsetMask
    return offset == 0 ? [] : try words(at: offset, count: 1 << (geometry.clusterBits - 3))
  }

  /// The offsets of the refcount blocks.
  public func refcountTable() throws(DiskError) -> [UInt64] {
    try words(at: header.refcountTableOffset, count: Int(header.refcountTableClusters) << (geometry.clusterBits - 3))
  }

  /// The refcounts of a block; empty where there is no such block.
  public func refcountBlock(_ index: Int) throws(DiskError) -> [UInt64] {
    let offset = try entry(index, of: try refcountTable(), "refcount table")
    guard offset > 0 else { return [] }
    let block = try read { file throws(DiskFailure) in try file.bytes(at: place(offset), count: Int(geometry.clusterSize)) }
    return (0..<1 << geometry.refcountBlockBits).map { block.refcount($0, order: geometry.refcountOrder) }
  }

  private func entry(_ index: Int, of entries: [UInt64], _ name: String) throws(DiskError) -> UInt64 {
    guard entries.indices.contains(index) else {
      throw .qcow2(file.path, .table(name, "has \(entries.count) entries, and none of number \(index)"))
    }
    return entries[index]
  }

  private func words(at offset: UInt64, count: Int) throws(DiskError) -> [UInt64] {
    try read { file throws(DiskFailure) in try file.words(at: place(offset), count: count) }
  }

  /// An offset that can be read: from the end of the file on there are zeroes.
  private func place(_ offset: UInt64) -> UInt64 { min(offset, file.length) }

  private func read<Result>(_ body: (RawImage) throws(DiskFailure) -> Result) throws(DiskError) -> Result {
    do { return try body(file) } catch { throw DiskError.of(error, file.path) }
  }
}
