internal import DiskImage
public import Logging
public import Platform
public import Virtio

/// What a disk is made of: its configuration, and its image's files, open and locked.
public struct BlockBlueprint: DeviceBlueprint {
  /// A disk.
  public static var kind: String { "block" }

  private let configuration: BlockConfiguration
  private let files: ImageFiles
  private var reserved: [Handover<IOUring>]?

  /// Opens the image that a configuration names.
  ///
  /// - Throws: `BlockConfigurationError` or `DiskError`.
  public init(_ configuration: BlockConfiguration) throws {
    try configuration.validate()
    var configuration = configuration
    let processors = PThread.affinity.count
    if processors > 0 { configuration.processors = min(configuration.processors, processors) }
    self.configuration = configuration
    files = try ImageFiles.open(path: configuration.path, options: configuration.imageOptions)
  }

  /// What the user should know before the disk is used.
  public var warnings: [String] {
    guard let foreign = files.foreign else { return [] }
    return [
      "the image \(configuration.path.debugDescription) looks like \(foreign.rawValue), which is not supported, and is used as a raw disk; if it"
        + " is no disk, convert it with qemu-img, and if it is one, give format=raw"
    ]
  }

  /// The image's files.
  public var descriptors: [Int32] { files.descriptors }

  /// Those of its images, where they are more than a few.
  public var extraDescriptors: Int { max(0, descriptors.count - 64) }

  /// One for each thread, unless there are to be none.
  public var rings: [Int] { configuration.rings }

  /// That of the tables of its images.
  public var extraMemory: UInt64 { configuration.cacheSize }

  /// The configuration, and what is known of the files.
  public func encode(to writer: inout ByteWriter) {
    writer.put(configuration.path)
    writer.put(configuration.isReadOnly)
    writer.put(configuration.isDirect)
    writer.put(configuration.isSparse)
    writer.put(UInt32(clamping: configuration.blockSize))
    writer.put(configuration.id ?? "")
    writer.put(UInt16(clamping: configuration.queueCount))
    writer.put(UInt16(clamping: configuration.queueSize))
    writer.put(UInt16(clamping: configuration.processors))
    writer.put(configuration.usesPackedQueue)
    writer.put(configuration.executor.rawValue)
    writer.put(configuration.limits.requests)
    writer.put(configuration.limits.bytes)
    files.encode(to: &writer)
  }

  /// Takes an image that was opened by another process.
  public init(from reader: inout ByteReader, descriptors: DescriptorList) throws {
    var configuration = BlockConfiguration(path: try reader.getString(), isReadOnly: try reader.getBool())
    configuration.isDirect = try reader.getBool()
    configuration.isSparse = try reader.getBool()
    configuration.blockSize = Int(try reader.get(UInt32.self))
    let id = try reader.getString()
    configuration.id = id.isEmpty ? nil : id
    configuration.queueCount = Int(try reader.get(UInt16.self))
    configuration.queueSize = Int(try reader.get(UInt16.self))
    configuration.processors = Int(try reader.get(UInt16.self))
    configuration.usesPackedQueue = try reader.getBool()
    guard let executor = BlockConfiguration.Executor(rawValue: try reader.getString()) else { throw MalformedBytes("an unknown executor") }
    configuration.executor = executor
    configuration.limits.requests = try reader.getRate()
    configuration.limits.bytes = try reader.getRate()
    self.configuration = configuration
    files = try ImageFiles(from: &reader) { try descriptors.nextOwned() }
    reserved = try configuration.rings.indices.map { _ throws(MalformedBytes) in try descriptors.nextRing() }
  }

  /// Makes the disk.
  public func build(logger: Logger) throws -> any VirtioDevice {
    try BlockDevice(configuration, image: files.assemble(), rings: reserved, logger: logger)
  }
}
