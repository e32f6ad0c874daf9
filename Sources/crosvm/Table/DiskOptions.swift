import BlockDevice
import CommandLine
import DiskImage
import Platform

/// The options that give the guest a disk.
enum DiskOptions {
  private static let path = Field("path", .path(), isRequired: true, "The image file or block device.")
  private static let readOnly = Field("ro", .boolean, default: "false", "The guest may only read.")
  private static let root = Field("root", .boolean, default: "false", "The guest's kernel mounts this disk as its root file system.")
  private static let sparse = Field(
    "sparse", .boolean, default: "true", "Blocks that the guest discards are given back to the host's file system.")
  private static let direct = Field(
    "direct", .boolean, aliases: ["o-direct"], default: "false", "Bypass the host's page cache (O_DIRECT).")
  private static let lock = Field(
    "lock", .boolean, default: "true", "Lock the image against a second user: shared if ro, else exclusive.")
  private static let format = Field(
    "format", ValueType<ImageFormat>.choice("FORMAT"),
    "The image's format. Without it the file's first bytes tell, and nothing but the file itself is read.")
  private static let backing = Field(
    "backing", .boolean, default: "false",
    "Read the backing files that the image names, within its folder. Needs format=qcow2.")
  private static let ephemeral = Field(
    "ephemeral", .boolean, default: "false",
    "Keep what the guest writes in a temporary file (in $TMPDIR, or else /var/tmp or /tmp), and forget it in the end; the image is only read."
  )
  private static let cacheSize = Field(
    "cache-size", .size(.bytes, in: ImageFiles.cacheSizes), default: "7M",
    "The most memory for the tables of a qcow2 image and its backing files together, 1M to 4G.")
  private static let blockSize = Field(
    "block-size", .size(oneOf: BlockConfiguration.blockSizes), default: "512", "Logical block size in bytes.")
  private static let id = Field("id", .diskID, "Serial number that the guest reads: 1 to 20 ASCII characters.")
  private static let queues = Field(
    "queues", .integer(BlockConfiguration.queueCounts), aliases: ["num-queues"], default: "1", "Number of request queues, 1 to 16.")
  private static let queueSize = Field(
    "queue-size", .integer(oneOf: BlockConfiguration.powersOfTwo), default: "256",
    "Descriptors of each queue, a power of two from 4 to 1024.")
  private static let packedQueue = Field("packed-queue", .boolean, default: "false", "Offer the packed ring layout too.")

  private static let executor = Field(
    "executor", ValueType<BlockConfiguration.Executor>.choice("HOW"), default: "uring",
    "How requests reach the host's kernel: by io_uring, many at a time, or by plain system calls of the queues' threads.")
  private static let requestRate = Field("iops", .integer(rates), "The most requests a second.")
  private static let requestBurst = Field(
    "iops-burst", .integer(rates), "The most requests at once after a rest; one second's unless given.")
  private static let byteRate = Field("bandwidth", .size(.bytes, in: byteRates), "The most bytes that are read and written a second.")
  private static let byteBurst = Field(
    "bandwidth-burst", .size(.bytes, in: byteRates), "The most bytes at once after a rest; one second's unless given.")
  private static let rates = 1...1_000_000_000
  private static let byteRates: ClosedRange<UInt64> = 1...(1 << 40)

  /// Fields of today's crosvm that ask for what there is not.
  private static let unavailable = [
    "async-executor", "multiple-workers", "bootindex", "pci-address", "dontcache", "max-queue-sizes", "vhost",
  ]

  private static let tuning = [
    format.description, backing.description, ephemeral.description, sparse.description, direct.description, lock.description,
    cacheSize.description, blockSize.description,
    id.description, queues.description, queueSize.description, packedQueue.description, executor.description, requestRate.description,
    requestBurst.description, byteRate.description, byteBurst.description,
  ]

  private static let everyField = FieldTable(
    [path.description, readOnly.description, root.description] + tuning, unavailable: unavailable)
  private static let fieldsOfFixedKind = FieldTable([path.description] + tuning, unavailable: unavailable)

  static let block = Option(
    "block", short: "b", .fields(everyField) { fields throws(ValueError) in try disk(fields, isReadOnly: nil, isRoot: nil) },
    isRepeatable: true, "Add a disk. The disks of all options are /dev/vda, /dev/vdb and on, in the order in which they are given.")

  static let rootDisk = fixed(
    "root", short: "r", isReadOnly: true, isRoot: true,
    "Add a read-only disk and have the guest's kernel mount it as its root file system. Takes the keys of --block but ro and root.")

  static let rwroot = fixed("rwroot", isReadOnly: false, isRoot: true, "The same as --root, with a writable disk.")

  static let disk = fixed(
    "disk", short: "d", isReadOnly: true, isRoot: false, "Add a read-only disk. Takes the keys of --block but ro and root.")

  static let rwdisk = fixed(
    "rwdisk", isReadOnly: false, isRoot: false, "Add a writable disk. Takes the keys of --block but ro and root.")

  static let qcow = fixed("qcow", isReadOnly: true, isRoot: false, "The same as --disk, under an old name.")

  static let rwqcow = fixed("rwqcow", isReadOnly: false, isRoot: false, "The same as --rwdisk, under an old name.")

  private static func fixed(
    _ name: String, short: Character? = nil, isReadOnly: Bool, isRoot: Bool, _ summary: String
  ) -> Option<BlockConfiguration> {
    let type = ValueType.fields(fieldsOfFixedKind) { fields throws(ValueError) in
      try disk(fields, isReadOnly: isReadOnly, isRoot: isRoot)
    }
    // There is one root.
    return Option(name, short: short, type.withoutExplanation, isRepeatable: !isRoot, summary)
  }

  private static func disk(_ fields: Fields, isReadOnly: Bool?, isRoot: Bool?) throws(ValueError) -> BlockConfiguration {
    var disk = BlockConfiguration(path: try fields.require(path))
    disk.isReadOnly = if let isReadOnly { isReadOnly } else { try fields.value(readOnly) ?? disk.isReadOnly }
    disk.isRoot = if let isRoot { isRoot } else { try fields.value(root) ?? disk.isRoot }
    disk.isSparse = try fields.value(sparse) ?? disk.isSparse
    disk.isDirect = try fields.value(direct) ?? disk.isDirect
    disk.isLocked = try fields.value(lock) ?? disk.isLocked
    disk.format = try fields.value(format)
    disk.allowsBacking = try fields.value(backing) ?? disk.allowsBacking
    disk.isEphemeral = try fields.value(ephemeral) ?? disk.isEphemeral
    guard !disk.allowsBacking || disk.format == .qcow2 else {
      throw ValueError(
        "backing files are read only where the format is named", at: fields.position(of: backing), remedy: "give format=qcow2, too")
    }
    guard !disk.isEphemeral || !disk.isReadOnly else {
      let remedy = isReadOnly == nil ? "give ro or ephemeral, not both" : "leave ephemeral out, or use the option for a writable disk"
      throw ValueError("what is only read needs no temporary file", at: fields.position(of: ephemeral), remedy: remedy)
    }
    disk.cacheSize = try fields.value(cacheSize) ?? disk.cacheSize
    disk.blockSize = try fields.value(blockSize) ?? disk.blockSize
    disk.id = try fields.value(id)
    disk.queueCount = try fields.value(queues) ?? disk.queueCount
    disk.queueSize = try fields.value(queueSize) ?? disk.queueSize
    disk.usesPackedQueue = try fields.value(packedQueue) ?? disk.usesPackedQueue
    disk.executor = try fields.value(executor) ?? disk.executor
    disk.limits.requests = try rate(fields, requestRate, requestBurst) { UInt64($0) }
    disk.limits.bytes = try rate(fields, byteRate, byteBurst) { $0 }
    return disk
  }
}

extension DiskOptions {
  /// A limit and its burst, which means nothing alone.
  private static func rate<Number>(
    _ fields: Fields, _ rate: Field<Number>, _ burst: Field<Number>, _ count: (Number) -> UInt64
  ) throws(ValueError) -> RateLimits.Rate? {
    let atOnce = try fields.value(burst).map(count)
    guard let perSecond = try fields.value(rate).map(count) else {
      guard atOnce == nil else {
        throw ValueError(
          "a burst means nothing without its limit", at: fields.position(of: burst), remedy: "give \(rate.description.name), too")
      }
      return nil
    }
    return RateLimits.Rate(perSecond: perSecond, burst: atOnce)
  }
}

extension BlockConfiguration {
  /// The sizes that a queue may have.
  fileprivate static let powersOfTwo = (0..<Int.bitWidth - 1).map { 1 << $0 }.filter(queueSizes.contains)
}

extension ValueType where Value == String {
  /// The serial number of a disk.
  fileprivate static var diskID: ValueType {
    let expected = "1 to \(BlockConfiguration.idLimit) printable ASCII characters"
    return ValueType(ValueShape("ID", expected: expected)) { node throws(ValueError) in
      let text = try node.text(expected: expected)
      guard (1...BlockConfiguration.idLimit).contains(text.utf8.count), text.utf8.allSatisfy({ (0x20...0x7e).contains($0) }) else {
        throw ValueError("\(quoted(text)) is not possible", at: node.position, remedy: "give \(expected)")
      }
      return text
    }
  }
}
