public import DiskImage
public import Platform

/// What the user sets for one disk of the guest.
public struct BlockConfiguration: Sendable, Equatable {
  /// The image file or block device on the host.
  public var path: String

  /// Whether the guest may only read.
  public var isReadOnly: Bool

  /// Whether the guest's kernel mounts this disk as its root file system.
  ///
  /// At most one disk of a machine may be the root.
  public var isRoot: Bool

  /// Whether the host's page cache is bypassed (`O_DIRECT`).
  public var isDirect: Bool

  /// Whether the image is locked against a second user: shared where read-only, exclusive otherwise.
  public var isLocked: Bool

  /// Whether blocks that the guest discards are given back to the host's file system.
  public var isSparse: Bool

  /// The image's format; found by the file's first bytes where it is `nil`.
  public var format: ImageFormat?

  /// Whether the image may name a backing file, which is read as well: only where `format` is `qcow2`.
  public var allowsBacking: Bool

  /// Whether what the guest writes is kept in a temporary file, and lost in the end; the image is only read.
  public var isEphemeral: Bool

  /// The most memory for the tables of a qcow2 image and its backing files together, in bytes: one of `ImageFiles.cacheSizes`.
  public var cacheSize: UInt64

  /// The logical block size that the guest sees, in bytes: 512 or 4096.
  public var blockSize: Int

  /// The serial number that the guest reads, `nil` for none: 1 to 20 printable ASCII characters (virtio 1.2, section 5.2.6).
  public var id: String?

  /// The number of request queues, 1 to 16.
  public var queueCount: Int

  /// The number of descriptors of each queue: a power of two from 4 to 1024: a request has three parts at least.
  public var queueSize: Int

  /// Whether the packed ring layout is offered beside the split one.
  public var usesPackedQueue: Bool

  /// How requests reach the host's kernel.
  public var executor: Executor

  /// How many of the host's processors the disk may use, at least 1.
  public var processors: Int

  /// How much of the host the disk may use.
  public var limits: RateLimits

  /// Ways to the host's kernel.
  public enum Executor: String, Sendable, CaseIterable {
    /// Through io_uring: many requests at a time; as `threads` where the kernel has none.
    case uring
    /// By plain system calls of the queues' threads: one request of each queue at a time.
    case threads
  }

  /// Makes the configuration of a writable disk with the defaults of the command line.
  ///
  /// - Parameters:
  ///   - path: The image file or block device on the host.
  ///   - isReadOnly: Whether the guest may only read.
  ///   - isRoot: Whether the guest's kernel mounts this disk as its root file system.
  public init(path: String, isReadOnly: Bool = false, isRoot: Bool = false) {
    self.path = path
    self.isReadOnly = isReadOnly
    self.isRoot = isRoot
    isDirect = false
    isLocked = true
    isSparse = true
    format = nil
    allowsBacking = false
    isEphemeral = false
    cacheSize = ImageFiles.Options().cacheSize
    blockSize = BlockConfiguration.blockSizes[0]
    id = nil
    queueCount = BlockConfiguration.defaultQueueCount
    queueSize = BlockConfiguration.defaultQueueSize
    usesPackedQueue = false
    executor = .uring
    processors = .max
    limits = RateLimits()
  }

  /// How many threads with rings serve the queues: one for each, but no more than there are processors. Threads that take turns on a
  /// processor would take it from the guest at each of its doorbells, and find one request there; one thread finds those of all queues.
  var threadCount: Int { executor == .uring ? max(1, min(queueCount, processors)) : queueCount }

  /// How many requests a thread may have under way: as many as its queues hold, up to what the largest queue may hold.
  var threadDepth: Int {
    let queues = (queueCount + threadCount - 1) / threadCount
    return min(queues * queueSize, BlockConfiguration.queueSizes.upperBound)
  }

  /// How many requests each ring that the disk needs may have in flight.
  var rings: [Int] { executor == .uring ? [Int](repeating: threadDepth, count: threadCount) : [] }

  /// The block sizes that a disk may have, in bytes; the first is the default.
  public static let blockSizes = [512, 4096]

  /// The longest serial number, in bytes: the field of the "get id" request (virtio 1.2, section 5.2.6).
  public static let idLimit = 20

  /// How many request queues a disk may have.
  public static let queueCounts = 1...16

  /// The number of request queues where the user names none.
  public static let defaultQueueCount = 1

  /// How many descriptors a queue may have, besides being a power of two.
  public static let queueSizes = 4...1024

  /// The number of descriptors of a queue where the user names none.
  public static let defaultQueueSize = 256

  /// Checks every value on its own.
  ///
  /// Neither opens the image nor looks for it.
  ///
  /// - Throws: The first thing that is wrong.
  public func validate() throws(BlockConfigurationError) {
    guard !path.isEmpty else { throw .emptyPath }
    guard !allowsBacking || format == .qcow2 else { throw .backingWithoutFormat }
    guard !isEphemeral || !isReadOnly else { throw .ephemeralReadOnly }
    guard ImageFiles.cacheSizes.contains(cacheSize) else { throw .cacheSize(cacheSize) }
    guard BlockConfiguration.blockSizes.contains(blockSize) else { throw .blockSize(blockSize) }
    if let id {
      guard id.utf8.count <= BlockConfiguration.idLimit else { throw .longID(id) }
      guard !id.isEmpty, id.utf8.allSatisfy({ (0x20...0x7e).contains($0) }) else { throw .unprintableID(id) }
    }
    guard BlockConfiguration.queueCounts.contains(queueCount) else { throw .queueCount(queueCount) }
    guard BlockConfiguration.queueSizes.contains(queueSize), queueSize & (queueSize - 1) == 0 else { throw .queueSize(queueSize) }
  }
}

/// What is wrong with a `BlockConfiguration`.
public enum BlockConfigurationError: Error, Equatable, CustomStringConvertible {
  /// The image has no path.
  case emptyPath
  /// Backing files are allowed, but the image's format is not named, or has none.
  case backingWithoutFormat
  /// A disk that is only read has nothing to forget.
  case ephemeralReadOnly
  /// The memory for tables is too little or too much, in bytes.
  case cacheSize(UInt64)
  /// The logical block size is not one that a guest understands.
  case blockSize(Int)
  /// The serial number does not fit its field.
  case longID(String)
  /// The serial number is empty or has characters that are not printable ASCII.
  case unprintableID(String)
  /// There are too few or too many request queues.
  case queueCount(Int)
  /// The queue size is out of range or not a power of two.
  case queueSize(Int)

  /// One line: what is wrong, with the value, and what to give instead.
  public var description: String {
    switch self {
    case .emptyPath: "the path is empty; give the path of a disk image"
    case .backingWithoutFormat: "backing files need the image's format to be named; give format=qcow2 with backing=on"
    case .ephemeralReadOnly: "what is only read needs no temporary file; give ro or ephemeral, not both"
    case .cacheSize(let size):
      "a cache of \(size) bytes is not possible; give \(ImageFiles.cacheSizes.lowerBound) to \(ImageFiles.cacheSizes.upperBound)"
    case .blockSize(let size): "the block size \(size) is not possible; give 512 or 4096"
    case .longID(let id):
      "the id \(id.debugDescription) has \(id.utf8.count) characters; give at most \(BlockConfiguration.idLimit)"
    case .unprintableID(let id):
      "the id \(id.debugDescription) is not printable ASCII; give 1 to \(BlockConfiguration.idLimit) such characters"
    case .queueCount(let count): "\(count) queues are not possible; give 1 to \(BlockConfiguration.queueCounts.upperBound)"
    case .queueSize(let size):
      "the queue size \(size) is not possible; give a power of two from 4 to \(BlockConfiguration.queueSizes.upperBound)"
    }
  }
}
