internal import CLinux
internal import Glibc
public import Platform
internal import Synchronization

/// A disk in a qcow2 file, version 2 or 3 (the specification is QEMU's docs/interop/qcow2).
///
/// Any number of threads may use it. One lock guards the tables: it is held for the look into the cache that finds where a request goes, and
/// for all of a request that allocates; not while data is read, or written in place.
public final class Qcow2Image: SynchronousDisk {
  /// How an image is used.
  public struct Options: Sendable, Equatable {
    /// Whether writes are refused.
    public var isReadOnly = false
    /// Whether discarded clusters become holes of the file.
    public var isSparse = true
    /// The most memory for the tables of the second level and refcounts, in bytes; 64 KiB at the least, whatever is given.
    public var cacheSize = Qcow2Image.defaultCacheSize

    /// Writable and sparse, with the usual cache.
    public init() {}
  }

  /// Memory for tables where the user names none: L2 entries of 48 GiB in clusters of 64 KiB, and refcounts.
  public static let defaultCacheSize = 7 << 20

  /// The file's name, for messages.
  public let path: String
  /// How the image is used.
  public let options: Options
  /// Requests are multiples of a sector, whatever the clusters are, or of what direct I/O needs of the file or the one behind it.
  public var alignment: Int { max(data?.alignment ?? 512, backing?.alignment ?? 512) }
  /// Whether writes are refused.
  public var isReadOnly: Bool { options.isReadOnly }
  /// Whether discarded clusters are given back.
  public var discards: Bool { options.isSparse && !options.isReadOnly }
  /// The bytes of the disk.
  public var size: UInt64 { bytes.load(ordering: .relaxed) }
  /// The backing disk, where there is one.
  public let backing: (any SynchronousDisk)?

  /// The file as requests go to it that io_uring carries; nil where it is only an `ImageFile`.
  let data: RawImage?
  let file: any ImageFile
  let inFlight = InFlight()
  let engine: Mutex<Qcow2Engine>
  private let bytes: Atomic<UInt64>
  private let decompressed = Mutex(DecompressedCluster())
  private let compression: Qcow2Header.Compression
  let geometry: Qcow2Geometry

  /// The last cluster that was decompressed: whoever reads one piece of it reads the next.
  private struct DecompressedCluster {
    var word: UInt64?
    var content: [UInt8] = []
  }

  /// Takes an open file as a qcow2 image. One that was not closed is repaired first, where it may be written.
  ///
  /// - Parameters:
  ///   - file: The file.
  ///   - data: The same file as io_uring is to use it.
  ///   - path: Its name, for messages.
  ///   - backing: What the image's own backing name stands for: whoever follows names decides.
  ///   - options: How the image is used.
  /// - Throws: `DiskError`.
  public init(
    file: any ImageFile, data: RawImage? = nil, path: String, backing: (any SynchronousDisk)? = nil, options: Options = Options()
  ) throws(DiskError) {
    self.file = file
    self.data = data
    self.path = path
    self.backing = backing
    self.options = options
    data?.allowEverywhere()
    do {
      let header = try Qcow2Image.header(of: file)
      guard options.isReadOnly || !header.isCorrupt else { throw Qcow2Problem.markedCorrupt }
      if let name = header.backingName, backing == nil { throw DiskError.backing(path, .absent(name)) }
      geometry = header.geometry
      compression = header.compression
      bytes = Atomic(header.size)
      let engine = try Qcow2Engine(
        header, file: file, backing: backing, isReadOnly: options.isReadOnly, punchesHoles: options.isSparse,
        cacheSize: min(options.cacheSize, geometry.usefulCache(forSize: header.size)),
        inFlight: inFlight)
      if !options.isReadOnly { try engine.repairAfterCrash() }
      self.engine = Mutex(engine)
    } catch { throw DiskError.of(error, path) }
  }

  /// Reads the header of a file.
  ///
  /// - Parameter isOnlyDescribed: See `Qcow2Header.init`.
  /// - Throws: `Qcow2Problem` or `DiskFailure`.
  public static func header(of file: any ImageFile, isOnlyDescribed: Bool = false) throws -> Qcow2Header {
    let start = try file.bytes(at: 0, count: Int(min(file.length, 104)))
    guard Array(start.prefix(4)) == Qcow2Header.magic, let extent = Qcow2Header.extent(start) else { return try Qcow2Header(start) }
    return try Qcow2Header(
      try file.bytes(at: 0, count: Int(min(file.length, UInt64(extent)))), isOnlyDescribed: isOnlyDescribed)
  }

  /// What is wrong with the image, where something was found since it was opened: nothing is written to it any more.
  public var damage: String? { engine.withLock { $0.damage } }

  /// The bytes of memory that the image takes for its tables at the most.
  public var tableMemory: Int {
    engine.withLock { $0.l2.capacity + $0.refcounts.capacity + ($0.l1.count + $0.refcountTable.count) * 10 }
  }

  /// Makes the disk larger.
  public func resize(to size: UInt64) throws(DiskError) {
    guard !isReadOnly else { throw .cannotResize(path, "it is read-only") }
    let now = self.size
    guard size >= now else { throw .cannotResize(path, "a qcow2 image only grows") }
    guard size % UInt64(alignment) == 0, geometry.l1Entries(forSize: size) <= Qcow2Layout.l1Limit / 8 else {
      throw .cannotResize(path, "\(size) bytes are not a multiple of \(alignment), or more than its clusters can map; give another size")
    }
    do throws(DiskFailure) {
      try engine.withLock { engine throws(DiskFailure) in
        // Another thread may have made it larger since.
        guard size >= engine.size else { throw DiskFailure(EINVAL) }
        if size > engine.size { try engine.grow(to: size) }
        bytes.store(size, ordering: .releasing)
      }
    } catch { throw .cannotResize(path, SystemError("", code: error.code).reason) }
  }

  /// Leaves the file as one that was closed: the next user needs no repair. The image stays usable.
  public func finish() {
    // What fails leaves the mark that a repair is needed.
    try? engine.withLock { engine throws(DiskFailure) in try engine.settle() }
  }

  deinit { finish() }

  // MARK: SynchronousDisk

  /// Reads or writes what of a list of buffers is in one piece.
  @unsafe public func transfer(isWrite: Bool, vectors: BufferVectors, offset: UInt64, isDurable: Bool) -> Int {
    let count = unsafe vectors.byteCount
    guard count > 0 else { return 0 }
    guard count <= size, offset <= size - count else { return -Int(EINVAL) }
    do throws(DiskFailure) {
      if isWrite { return unsafe Int(try write(vectors, offset: offset, count: count, isDurable: isDurable)) }
      return unsafe Int(try read(vectors, offset: offset, count: count))
    } catch { return -Int(error.code) }
  }

  @unsafe private func write(_ vectors: BufferVectors, offset: UInt64, count: UInt64, isDurable: Bool) throws(DiskFailure) -> UInt64 {
    guard !isReadOnly else { throw DiskFailure(EROFS) }
    let (written, group) = try engine.withLock { engine throws(DiskFailure) in
      (unsafe try engine.write(vectors, at: offset, count: count), inFlight.enter(engine.epoch))
    }
    defer { inFlight.leave(group) }
    let done =
      switch written {
      case .done(let count): count
      case .place(let extent): unsafe try file.write(vectors, to: extent)
      }
    if isDurable { try engine.withLock { engine throws(DiskFailure) in try engine.flush() } }
    return done
  }

  @unsafe private func read(_ vectors: BufferVectors, offset: UInt64, count: UInt64) throws(DiskFailure) -> UInt64 {
    let (extent, group) = try engine.withLock { engine throws(DiskFailure) in
      let extent = try engine.map(offset, atMost: count)
      return (extent, inFlight.enter(engine.epoch))
    }
    defer { inFlight.leave(group) }
    return try unsafe read(extent, into: vectors, offset: offset)
  }

  /// Reads one extent; the list has at least its bytes.
  @unsafe func read(_ extent: Qcow2Extent, into vectors: BufferVectors, offset: UInt64) throws(DiskFailure) -> UInt64 {
    let count = Int(extent.count)
    switch extent.kind {
    case .zero:
      unsafe vectors.clear(count)
      return extent.count
    case .data:
      let result = unsafe vectors.withPrefix(count) { unsafe file.read($0, at: extent.host) }
      guard result >= 0 else { throw DiskFailure(Int32(-result)) }
      if result > 0 { return UInt64(result) }
      // Beyond the end of the file: a cluster that was only begun.
      unsafe vectors.clear(count)
      return extent.count
    case .backing:
      guard let backing, offset < backing.size else {
        unsafe vectors.clear(count)
        return extent.count
      }
      let available = Int(min(extent.count, backing.size - offset))
      let result = unsafe vectors.withPrefix(available) {
        unsafe backing.transfer(isWrite: false, vectors: $0, offset: offset, isDurable: false)
      }
      guard result > 0 else { throw DiskFailure(result == 0 ? EIO : Int32(-result)) }
      return UInt64(result)
    case .compressed:
      return try decompressed.withLock { last throws(DiskFailure) in
        if last.word != extent.host {
          last.word = nil
          last.content = try decompress(extent.host)
          last.word = extent.host
        }
        let inside = Int(offset & geometry.offsetMask)
        var cursor = unsafe VectorCursor(vectors)
        // In bounds: the extent ends with the cluster.
        unsafe last.content.withUnsafeBytes { if let base = $0.baseAddress { unsafe cursor.scatter(from: base + inside, count: count) } }
        return extent.count
      }
    }
  }

  private func decompress(_ word: UInt64) throws(DiskFailure) -> [UInt8] {
    let (offset, count) = Qcow2Entry.compressedRange(word, clusterBits: geometry.clusterBits)
    let bytes = try file.bytes(at: offset, count: Int(count))
    guard let content = Decompression.cluster(bytes, compression, size: Int(geometry.clusterSize)) else { throw DiskFailure(EIO) }
    return content
  }

  /// Where it lies in a file by itself.
  public var usesRings: Bool { data != nil }

  /// Makes a way to the image for one thread.
  public func makeChannel(depth: Int, buffers: (any AnyObject & Sendable)?, ring: IOUring?) throws(DiskError) -> any DiskChannel {
    // Without a ring there is nothing to be gained from the file's own channel.
    guard let data, let ring else { return try InlineChannel(disk: self, depth: depth, buffers: buffers) }
    // Some requests are of several pieces.
    let innerDepth = depth + max(depth / 2, 2 * Qcow2Channel<InlineChannel>.pieceLimit)
    let inner = try RingChannel(image: data, depth: innerDepth, buffers: buffers, ring: ring)
    return try Qcow2Channel(image: self, inner: inner, innerDepth: innerDepth, depth: depth, alignment: data.alignment)
  }
}

extension BufferVectors {
  /// Fills the first `count` bytes with zeroes.
  func clear(_ count: Int) {
    var cursor = unsafe VectorCursor(self)
    unsafe cursor.clear(count)
  }
}

extension DiskError {
  /// What an image's user is told.
  static func of(_ error: any Error, _ path: String) -> DiskError {
    switch error {
    case let error as DiskError: error
    case let problem as Qcow2Problem: .qcow2(path, problem)
    case let error as AndroidSparseError: .unsound(path, "\(error)")
    case let error as CompositeError: .unsound(path, "\(error)")
    case let failure as DiskFailure: .system(SystemError("use the disk image \(path.debugDescription)", code: failure.code))
    case let error as SystemError: .system(error)
    default: .system(SystemError("use the disk image \(path.debugDescription)", code: EIO))
    }
  }
}
