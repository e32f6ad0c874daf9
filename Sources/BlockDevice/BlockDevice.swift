public import DiskImage
public import Logging
public import Platform
internal import Synchronization
public import Virtio

/// A disk of the guest (virtio 1.2, section 5.2), kept in an image of the host.
///
/// Threads serve the queues, each queue by one of them; they sleep in the kernel until the driver rings or the disk answers. A reset, or what
/// else ends the work for a while, leaves them asleep.
public final class BlockDevice: VirtioDevice {
  /// The block device's number.
  public var type: VirtioDeviceType { .block }
  /// What the image allows.
  public let features: UInt64
  /// As many queues as configured, all for requests (section 5.2.2).
  public let queueSizes: [UInt16]

  private struct State {
    var activation: VirtioActivation?
    var isSuspended = false
    /// From a saved state, for the next activation.
    var restoredCache: Bool?
  }

  private let image: any DiskImage
  private let configuration: BlockConfiguration
  private let logger: Logger
  private let cache = WriteCache(isOn: true)
  private let failures = FailureCount()
  private let state = Mutex(State())
  private let workers: [BlockWorker]
  private let limiter: RateLimiter?

  /// Opens the image that a configuration names, and makes a device of it.
  ///
  /// - Throws: `BlockConfigurationError` or `DiskError`.
  public convenience init(_ configuration: BlockConfiguration, logger: Logger = Logger(label: "crosvm.block")) throws {
    try configuration.validate()
    try self.init(
      configuration, image: try ImageFiles.open(path: configuration.path, options: configuration.imageOptions).assemble(), logger: logger)
  }

  /// Makes a device of an open image.
  ///
  /// - Parameters:
  ///   - configuration: What the guest sees; its path is only a name here.
  ///   - image: The disk.
  ///   - rings: One at rest for each thread, or nothing where the kernel has none; made here where not given.
  ///   - logger: Where the host's failures go.
  /// - Throws: `BlockConfigurationError`, or `DiskError.ragged` when the image is not a whole number of blocks.
  public init(
    _ configuration: BlockConfiguration, image: any DiskImage, rings: [Handover<IOUring>]? = nil,
    logger: Logger = Logger(label: "crosvm.block")
  ) throws {
    try configuration.validate()
    guard configuration.blockSize >= image.alignment else { throw BlockDeviceError.smallBlocks(configuration.path, image.alignment) }
    guard image.size % UInt64(configuration.blockSize) == 0 else {
      throw DiskError.ragged(configuration.path, size: image.size, blockSize: configuration.blockSize)
    }
    self.configuration = configuration
    self.image = image
    var logger = logger
    logger[metadataKey: "disk"] = "\(configuration.path)"
    self.logger = logger
    queueSizes = [UInt16](repeating: UInt16(clamping: configuration.queueSize), count: configuration.queueCount)
    features = BlockDevice.features(configuration, image)
    limiter = RateLimiter(configuration.limits)
    let rings = try rings ?? IOUring.reserve(configuration.rings)
    workers = BlockDevice.workers(configuration, image, rings)
  }

  /// Queues share threads only where a thread can have many requests under way: another one sleeps in each request, and takes no processor
  /// from the guest.
  private static func workers(_ configuration: BlockConfiguration, _ image: any DiskImage, _ rings: [Handover<IOUring>]) -> [BlockWorker] {
    let mayShare = image.usesRings && rings.count >= configuration.threadCount && rings.allSatisfy { !$0.isEmpty }
    return (0..<(mayShare ? configuration.threadCount : configuration.queueCount)).map { index in
      BlockWorker(
        name: "block-\(index)", depth: mayShare ? configuration.threadDepth : configuration.queueSize,
        ring: rings.indices.contains(index) ? rings[index] : Handover(nil))
    }
  }

  private static func features(_ configuration: BlockConfiguration, _ image: any DiskImage) -> UInt64 {
    var features = BlockFeatures.segmentMaximum | BlockFeatures.blockSize | BlockFeatures.flush | BlockFeatures.topology
    if configuration.queueCount > 1 { features |= BlockFeatures.multipleQueues }
    if image.isReadOnly { return features | BlockFeatures.readOnly }
    features |= BlockFeatures.writeZeroes | BlockFeatures.writeCacheSwitch
    return image.discards ? features | BlockFeatures.discard : features
  }

  /// Begins to serve the queues.
  public func activate(_ activation: VirtioActivation) throws {
    reset()
    try state.withLock { state in
      // Section 5.2.6.2: without a flush command nothing may stay in a cache, at first.
      cache.isOn = state.restoredCache.take() ?? (activation.features & BlockFeatures.flush != 0)
      state.activation = activation
      if !state.isSuspended { try start(activation) }
    }
  }

  private func start(_ activation: VirtioActivation) throws {
    let shared = BlockService.Shared(
      image: image, id: idBytes, isReadOnly: image.isReadOnly, features: activation.features, cache: cache, logger: logger,
      failures: failures, limiter: limiter)
    do {
      for (index, worker) in workers.enumerated() {
        let queues = stride(from: index, to: activation.queues.count, by: workers.count).compactMap { activation.queues[$0] }
        try worker.begin(queues: queues, memory: activation.memory, shared: shared)
      }
    } catch {
      end(.abandon)
      throw error
    }
  }

  /// The serial number, filled up with zeroes to its 20 bytes (section 5.2.6).
  private var idBytes: [UInt8] {
    let id = Array((configuration.id ?? "").utf8.prefix(BlockConfiguration.idLimit))
    return id + [UInt8](repeating: 0, count: BlockConfiguration.idLimit - id.count)
  }

  /// Ends all threads, after waiting for what the disk is doing; the driver gets no more answers.
  public func reset() {
    state.withLock { $0.activation = nil }
    end(.abandon)
    cache.isOn = true
  }

  private func end(_ command: WorkerCommand.Command) {
    for worker in workers { worker.end(command) }
    for worker in workers { worker.join() }
  }

  /// Ends the threads, and leaves the image as one that was closed.
  public func finish() {
    reset()
    for worker in workers { worker.quit() }
    image.finish()
  }

  /// Gives the disk another size, and tells the driver.
  func resize(to bytes: UInt64, mayShrink: Bool) throws {
    guard bytes > 0, bytes % UInt64(configuration.blockSize) == 0 else {
      throw OrderRefusal("\(bytes) bytes are not a multiple of the disk's blocks of \(configuration.blockSize) bytes; give another size")
    }
    guard mayShrink || bytes >= image.size else { throw DiskError.shrinks(configuration.path, from: image.size, to: bytes) }
    try image.resize(to: bytes)
    state.withLock { $0.activation }?.interrupt.signalConfigurationChange()
  }

  /// Answers the requests under way and ends the threads; `resume` starts new ones.
  public func suspend() {
    state.withLock { $0.isSuspended = true }
    end(.drain)
  }

  /// Serves the queues again, whatever came meanwhile first.
  public func resume() {
    state.withLock { state in
      guard state.isSuspended else { return }
      state.isSuspended = false
      guard let activation = state.activation else { return }
      do { try start(activation) } catch {
        logger.error("disk cannot go on: \(error)")
        activation.interrupt.deviceNeedsReset("block: the host failed: \(error)")
      }
    }
  }
}

// MARK: Configuration space

extension BlockDevice {
  /// Reads the configuration space (section 5.2.4).
  public func readConfiguration(offset: UInt64, width: Int) -> UInt64 { configurationSpace.read(offset: offset, width: width) }

  /// Switches the write cache (section 5.2.5); nothing else can be written.
  public func writeConfiguration(offset: UInt64, width: Int, value: UInt64) {
    guard offset == BlockLayout.writeback, width == 1, features & BlockFeatures.writeCacheSwitch != 0 else { return }
    let wasOn = cache.isOn
    cache.isOn = value & 0xff != 0
    // What was cached until now must not stay so.
    if wasOn, !cache.isOn, let disk = image as? any SynchronousDisk, disk.flush() != 0 {
      // The driver reads that it did not work.
      cache.isOn = true
      if failures.isWorthALine() { logger.error("the write cache stays on, for a flush failed") }
    }
  }

  private var configurationSpace: ConfigurationSpace {
    let mayChange = !image.isReadOnly
    var space = ConfigurationSpace(size: BlockLayout.size)
    space.set(image.size / BlockRequest.sectorSize, at: BlockLayout.capacity)
    space.set(UInt32(clamping: max(1, min(configuration.queueSize - 2, BlockLayout.segmentLimit))), at: BlockLayout.segmentMaximum)
    space.set(UInt32(clamping: configuration.blockSize), at: BlockLayout.blockSize)
    // Physical blocks of 4096 bytes: what file systems of the host write at the least.
    space.set(UInt8(clamping: (4096 / configuration.blockSize).trailingZeroBitCount), at: BlockLayout.physicalBlockExponent)
    space.set(UInt16(clamping: 4096 / configuration.blockSize), at: BlockLayout.minimumIO)
    space.set(UInt8(cache.isOn ? 1 : 0), at: Int(BlockLayout.writeback))
    space.set(UInt16(clamping: configuration.queueCount), at: BlockLayout.queueCount)
    if mayChange, image.discards {
      space.set(UInt32.max, at: BlockLayout.discardSectors)
      space.set(UInt32(clamping: BlockRequest.rangeLimit), at: BlockLayout.discardRanges)
      space.set(UInt32(4096 / BlockRequest.sectorSize), at: BlockLayout.discardAlignment)
    }
    if mayChange {
      space.set(UInt32.max, at: BlockLayout.writeZeroesSectors)
      space.set(UInt32(clamping: BlockRequest.rangeLimit), at: BlockLayout.writeZeroesRanges)
      space.set(UInt8(image.discards ? 1 : 0), at: BlockLayout.writeZeroesMayUnmap)
    }
    return space
  }
}

// MARK: Snapshot

extension BlockDevice {
  /// The version of the state's format, the size of the disk it belongs to, and whether the write cache is on.
  public func snapshot() throws -> [UInt8] {
    var state = ConfigurationSpace()
    state.append(BlockLayout.stateVersion)
    state.append(image.size)
    state.append(UInt8(cache.isOn ? 1 : 0))
    return state.bytes
  }

  /// Takes over a state.
  ///
  /// - Throws: `BlockDeviceError.badState` unless it is that of a disk of this size.
  public func restore(_ state: [UInt8]) throws {
    guard state.count == 10, state[0] == BlockLayout.stateVersion, state[9] <= 1 else {
      throw BlockDeviceError.badState("it has \(state.count) bytes of an unknown format")
    }
    var size: UInt64 = 0
    for index in 0..<8 { size |= UInt64(state[1 + index]) << UInt64(8 * index) }
    guard size == image.size else { throw BlockDeviceError.badState("its disk has \(size) bytes, this one \(image.size)") }
    self.state.withLock { $0.restoredCache = state[9] == 1 }
  }
}
