internal import Platform

// The disk that open files make.
extension ImageFiles {
  /// The tables that are in memory as a whole have no more bytes than this, in all images of a disk together: an image of QEMU's greatest
  /// first-level and refcount tables may have some more beside it.
  static let tableLimit: UInt64 = 64 << 20

  /// Makes the disk. Called once.
  public func assemble() throws(DiskError) -> any DiskImage {
    try checkTables()
    let cacheSize = Int(clamping: options.cacheSize)
    guard let overlay else { return try assembleFiles(cacheSize: cacheSize) }
    let shares = CacheShares(cacheSize, others: qcow2Files.count)
    let disk = try assembleFiles(cacheSize: cacheSize - shares.first)
    return try overlay.lay(over: disk, cacheSize: shares.first)
  }

  /// Makes the disk of all files but the overlay.
  ///
  /// - Parameter cacheSize: The most memory for all their tables, in bytes.
  func assembleFiles(cacheSize: Int) throws(DiskError) -> any SynchronousDisk {
    let shares = CacheShares(cacheSize, others: layers.dropFirst().count { $0.format == .qcow2 })
    var below: (any SynchronousDisk)?
    for (index, layer) in layers.enumerated().reversed() {
      let disk: any SynchronousDisk
      switch layer.format {
      case .raw: disk = layer.file
      case .qcow2:
        var qcow2 = Qcow2Image.Options()
        qcow2.isReadOnly = options.isReadOnly || index > 0
        qcow2.isSparse = options.isSparse
        qcow2.cacheSize = index > 0 ? shares.other : shares.first
        disk = try Qcow2Image(file: layer.cached ?? layer.file, data: layer.file, path: layer.file.path, backing: below, options: qcow2)
      case .androidSparse:
        do { disk = try AndroidSparseImage(file: layer.file) } catch { throw DiskError.of(error, layer.file.path) }
      case .composite: disk = try assembleComposite(layer.file, cacheSize: cacheSize)
      }
      below = disk
    }
    guard let below else { throw .missing("") }
    return below
  }

  /// The files of qcow2 images, as their tables are read.
  var qcow2Files: [RawImage] {
    layers.filter { $0.format == .qcow2 }.map { $0.cached ?? $0.file } + parts.flatMap(\.qcow2Files)
  }

  /// Refuses a disk of many images each of which would just do.
  private func checkTables() throws(DiskError) {
    let files = qcow2Files
    guard files.count > 1 else { return }
    var bytes: UInt64 = 0
    for file in files {
      // No overflow: each is less than 2 to the power of 55, and there are some hundred.
      do { bytes += try Qcow2Image.header(of: file).tableBytes } catch { throw DiskError.of(error, file.path) }
    }
    guard bytes <= ImageFiles.tableLimit else {
      throw .unsound(
        path, "and the images behind it have tables of \(bytes) bytes that must be in memory; \(ImageFiles.tableLimit) are possible")
    }
  }
}

/// How the images of a disk share the memory for tables: the first, which alone may be written where others are behind it, gets one half,
/// and the others the rest in equal parts.
struct CacheShares {
  let first: Int
  let other: Int

  /// - Parameter others: How many images there are beside the first.
  init(_ bytes: Int, others: Int) {
    first = others == 0 ? bytes : bytes / 2
    other = others == 0 ? 0 : (bytes - first) / others
  }
}

extension Qcow2Header {
  /// The bytes of memory for the tables that are not cached but held, and for what is known of snapshots.
  fileprivate var tableBytes: UInt64 {
    let snapshotBytes: UInt64 = 96
    return geometry.l1Entries(forSize: size) * 8 + UInt64(refcountTableClusters) << UInt64(clusterBits)
      + UInt64(snapshotCount) * snapshotBytes
  }
}
