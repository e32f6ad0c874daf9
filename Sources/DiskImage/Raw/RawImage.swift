internal import CLinux
internal import Glibc
public import Platform
internal import Synchronization

/// A disk image without a format: a regular file, holes and all, or a block device of the host.
public final class RawImage: DiskImage, Sendable {
  /// How an image is opened.
  public struct Options: Sendable, Equatable {
    /// Whether writes are refused.
    public var isReadOnly = false
    /// Whether the host's page cache is bypassed.
    public var isDirect = false
    /// Whether others are kept from using the file: from writing it where it is only read, from any use where it is written.
    public var isLocked = true
    /// Whether discarded ranges become holes.
    public var isSparse = true
    /// Whether the file need not be a whole number of sectors: for one that holds a format, or is not used by sectors.
    public var allowsAnySize = false

    /// Writable, through the page cache, locked, sparse.
    public init() {}
  }

  /// The file's name, for messages.
  public let path: String
  /// The file's size in bytes.
  public var size: UInt64 { bytes.load(ordering: .relaxed) }
  /// How the image was opened.
  public let options: Options
  /// What offsets and lengths must be multiples of: 512, or what direct I/O needs.
  public let alignment: Int
  /// What addresses of buffers must be multiples of for direct I/O without a copy; 1 through the page cache.
  let bufferAlignment: Int
  /// Whether reads and writes are copies from and to the host's memory, which are faster done than queued.
  let isMemory: Bool

  /// The file's length when it was opened.
  let openedLength: UInt64
  /// Whether it is a block device.
  let isDevice: Bool
  private let bytes: Atomic<UInt64>
  private let wasShortened = Atomic<Bool>(false)
  private let descriptor: OwnedDescriptor
  /// Memory for direct I/O with buffers that are not aligned for it; made when first needed.
  let bounce = Mutex<MemoryMapping?>(nil)
  static let bounceSize = 1 << 20

  /// Whether writes are refused.
  public var isReadOnly: Bool { options.isReadOnly }
  /// Whether discarded ranges become holes.
  public var discards: Bool { options.isSparse && !options.isReadOnly }

  /// The image's descriptor, lent.
  public var number: Int32 { descriptor.number }

  /// Opens an image.
  ///
  /// A path of the form `/proc/self/fd/N` means the open descriptor N itself, as another program passed it.
  public convenience init(path: String, options: Options = Options()) throws(DiskError) {
    let descriptor = try RawImage.open(path, options)
    try self.init(descriptor: descriptor, path: path, options: options)
  }

  /// Takes an open file as an image: one that another process opened, perhaps.
  ///
  /// - Parameters:
  ///   - descriptor: Open for reading, and for writing unless the image is read-only.
  ///   - path: The file's name, for messages.
  ///   - options: As for opening. A lock is taken on the open file, and shared by all duplicates of the descriptor.
  public init(descriptor: consuming OwnedDescriptor, path: String, options: Options = Options()) throws(DiskError) {
    let number = descriptor.number
    let size = try RawImage.length(of: number, path)
    guard options.allowsAnySize || size % 512 == 0 else { throw .ragged(path, size: size, blockSize: 512) }
    guard size > 0 else { throw .empty(path) }
    if options.isLocked { try FileLock.take(number, path, writing: !options.isReadOnly) }
    var alignments = (offset: 512, buffer: 1)
    if options.isDirect { alignments = try RawImage.enableDirect(number, path) }
    guard options.allowsAnySize || size % UInt64(alignments.offset) == 0 else {
      throw .ragged(path, size: size, blockSize: alignments.offset)
    }
    self.path = path
    bytes = Atomic(size)
    openedLength = size
    self.options = options
    alignment = alignments.offset
    bufferAlignment = alignments.buffer
    isMemory = !options.isDirect && RawImage.isInMemory(number)
    isDevice = RawImage.isDevice(number)
    self.descriptor = descriptor
  }

  /// What was found out when the file was opened, for a process that only gets its descriptor.
  public struct Facts: Sendable, Equatable {
    /// See `RawImage.size`.
    public var size: UInt64
    /// See `RawImage.alignment`; a power of two.
    public var alignment: UInt32
    /// What addresses of buffers must be multiples of; a power of two.
    public var bufferAlignment: UInt32
    /// Whether reads and writes are copies from and to the host's memory.
    public var isMemory: Bool
    /// Whether it is a block device.
    public var isDevice: Bool

    /// Gathers them.
    public init(size: UInt64, alignment: UInt32, bufferAlignment: UInt32, isMemory: Bool, isDevice: Bool = false) {
      self.size = size
      self.alignment = alignment
      self.bufferAlignment = bufferAlignment
      self.isMemory = isMemory
      self.isDevice = isDevice
    }
  }

  /// What was found out when the file was opened.
  public var facts: Facts {
    Facts(
      size: size, alignment: UInt32(clamping: alignment), bufferAlignment: UInt32(clamping: bufferAlignment), isMemory: isMemory,
      isDevice: isDevice)
  }

  /// Takes a file that another process opened as an image, and locked where that was asked for.
  ///
  /// - Parameters: As for an open file; `facts` are those of that process.
  public init(descriptor: consuming OwnedDescriptor, path: String, options: Options, facts: Facts) {
    self.path = path
    self.options = options
    bytes = Atomic(facts.size)
    openedLength = facts.size
    alignment = max(512, Int(facts.alignment))
    bufferAlignment = max(1, Int(facts.bufferAlignment))
    isMemory = facts.isMemory
    isDevice = facts.isDevice
    self.descriptor = descriptor
  }

  /// Lets requests go anywhere in the file, beyond its end too: whoever makes them knows what is where.
  func allowEverywhere() { bytes.store(UInt64(Int64.max) & ~0xffff, ordering: .relaxed) }

  /// Makes the file longer or shorter; a block device has the size that it has.
  public func resize(to bytes: UInt64) throws(DiskError) {
    guard !isReadOnly else { throw .cannotResize(path, "it is read-only") }
    guard bytes > 0, bytes % UInt64(alignment) == 0, bytes <= UInt64(Int64.max) else {
      throw .cannotResize(path, "\(bytes) bytes are not a multiple of \(alignment), or not possible; give another size")
    }
    let before = size
    // What is taken away is refused before it is gone, and what is added when it is there.
    if bytes < before {
      self.bytes.store(bytes, ordering: .releasing)
      wasShortened.store(true, ordering: .relaxed)
    }
    guard ftruncate(descriptor.number, Int(bytes)) == 0 else {
      let error = SystemError.last("resize \(path)")
      self.bytes.store(before, ordering: .releasing)
      throw .cannotResize(path, error.code == EINVAL ? "only regular files can be" : error.reason)
    }
    self.bytes.store(bytes, ordering: .releasing)
  }

  /// Leaves the file with the size that the disk has: a write that was under way when the disk was made smaller makes the file longer again.
  public func finish() {
    if wasShortened.load(ordering: .relaxed) { _ = ftruncate(descriptor.number, Int(clamping: size)) }
  }

  /// It is a file of the host.
  public var usesRings: Bool { true }

  /// Makes a way to the image for one thread: through a ring, or by plain system calls.
  public func makeChannel(depth: Int, buffers: (any AnyObject & Sendable)?, ring: IOUring?) throws(DiskError) -> any DiskChannel {
    guard let ring else { return try InlineChannel(disk: self, depth: depth, buffers: buffers) }
    return try RingChannel(image: self, depth: depth, buffers: buffers, ring: ring)
  }
}

extension RawImage {
  static func open(_ path: String, _ options: Options) throws(DiskError) -> OwnedDescriptor {
    let access = options.isReadOnly ? O_RDONLY : O_RDWR
    if path.hasPrefix("/proc/self/fd/"), let number = Int32(path.dropFirst(14)) { return try adopt(number, path, access) }
    do {
      // Not blocking, for the sake of named pipes; it means nothing to files, except to io_uring, so it goes again.
      let descriptor = try OwnedDescriptor.open(path, flags: access | O_NONBLOCK | O_NOCTTY)
      let number = descriptor.number
      try retrying("open \(path)") { Int(clinux_fcntl(number, F_SETFL, Int(access))) }
      return descriptor
    } catch { throw openingError(error, path, writing: !options.isReadOnly) }
  }

  /// What the user is told when a file cannot be opened.
  static func openingError(_ error: SystemError, _ path: String, writing: Bool) -> DiskError {
    switch error.code {
    case ENOENT, ENOTDIR: .missing(path)
    case EACCES, EPERM, EROFS, ETXTBSY: .refused(path, writing: writing)
    case EISDIR: .directory(path)
    case ENXIO, ENODEV: .notADisk(path)
    default: .system(error)
    }
  }

  /// Takes an open file of another format, of any length.
  convenience init(container descriptor: consuming OwnedDescriptor, path: String, options: Options) throws(DiskError) {
    let number = descriptor.number
    let length = try RawImage.length(of: number, path)
    if options.isLocked { try FileLock.take(number, path, writing: !options.isReadOnly) }
    var alignments = (offset: 512, buffer: 1)
    if options.isDirect { alignments = try RawImage.enableDirect(number, path) }
    let facts = Facts(
      size: length, alignment: UInt32(clamping: alignments.offset), bufferAlignment: UInt32(clamping: alignments.buffer),
      isMemory: !options.isDirect && RawImage.isInMemory(number), isDevice: RawImage.isDevice(number))
    self.init(descriptor: descriptor, path: path, options: options, facts: facts)
  }

  private static func adopt(_ number: Int32, _ path: String, _ access: Int32) throws(DiskError) -> OwnedDescriptor {
    let flags = clinux_fcntl(number, F_GETFL, 0)
    guard flags >= 0, flags & O_ACCMODE == O_RDWR || (flags & O_ACCMODE == O_RDONLY && access == O_RDONLY) else {
      throw .badDescriptor(path, writing: access == O_RDWR)
    }
    do {
      let copy = Int32(try retrying("duplicate \(path)") { Int(clinux_fcntl(number, F_DUPFD_CLOEXEC, 3)) })
      return OwnedDescriptor(owning: copy)
    } catch { throw .system(error) }
  }

  static func length(of number: Int32, _ path: String) throws(DiskError) -> UInt64 {
    do {
      var status = stat()
      try retrying("examine \(path)") { unsafe Int(fstat(number, &status)) }
      switch status.st_mode & S_IFMT {
      case S_IFREG:
        return UInt64(max(0, status.st_size))
      case S_IFBLK:
        var size: UInt64 = 0
        try retrying("ask for the size of \(path)") { unsafe Int(clinux_ioctl_pointer(number, clinux_BLKGETSIZE64, &size)) }
        return size
      case S_IFDIR: throw DiskError.directory(path)
      default: throw DiskError.notADisk(path)
      }
    } catch let error as SystemError { throw .system(error) } catch let error as DiskError { throw error } catch { throw .notADisk(path) }
  }

  private static func isDevice(_ number: Int32) -> Bool {
    var status = stat()
    return unsafe fstat(number, &status) == 0 && status.st_mode & S_IFMT == S_IFBLK
  }

  /// Whether the file lives in the host's memory: tmpfs, ramfs or hugetlbfs (statfs(2)).
  private static func isInMemory(_ number: Int32) -> Bool {
    var status = statfs()
    guard unsafe fstatfs(number, &status) == 0 else { return false }
    return [0x0102_1994, 0x8584_58f6, 0x9584_58f6].contains(Int(status.f_type))
  }

  /// Switches the page cache off (O_DIRECT).
  ///
  /// - Returns: What offsets and lengths, and what addresses, must then be multiples of.
  private static func enableDirect(_ number: Int32, _ path: String) throws(DiskError) -> (offset: Int, buffer: Int) {
    let flags = clinux_fcntl(number, F_GETFL, 0)
    guard flags >= 0, clinux_fcntl(number, F_SETFL, Int(flags | clinux_O_DIRECT)) == 0 else { throw .cannotBypassCache(path) }
    // The kernel tells since Linux 6.1, for most file systems.
    var status = statx()
    if unsafe statx(number, "", clinux_AT_EMPTY_PATH, UInt32(STATX_DIOALIGN), &status) == 0, status.stx_mask & UInt32(STATX_DIOALIGN) != 0 {
      guard status.stx_dio_offset_align > 0 else { throw .cannotBypassCache(path) }
      return (max(512, Int(status.stx_dio_offset_align)), max(1, Int(status.stx_dio_mem_align)))
    }
    // Otherwise the smallest read that is not refused tells.
    do {
      let buffer = try MemoryMapping.anonymous(count: 65536)
      for alignment in [512, 4096, 65536 / 2] where unsafe pread(number, buffer.base + alignment, alignment, 0) >= 0 {
        return (alignment, alignment)
      }
    } catch { throw .system(error) }
    throw .cannotBypassCache(path)
  }
}
