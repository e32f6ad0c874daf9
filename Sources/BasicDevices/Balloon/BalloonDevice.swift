internal import GuestMemory
public import Logging
internal import Platform
internal import Synchronization
public import Virtio

/// The features of the balloon (virtio 1.2, section 5.5.3).
enum BalloonFeatures {
  static let statistics: UInt64 = 1 << 1
  static let deflateOnOOM: UInt64 = 1 << 2
  static let pageReporting: UInt64 = 1 << 5
}

/// The memory balloon (virtio 1.2, section 5.5): takes memory from the guest and gives it to the host, tells how the guest uses its memory,
/// and gives back what the guest reports as free.
public final class BalloonDevice: VirtioDevice {
  /// The balloon's number.
  public var type: VirtioDeviceType { .balloon }
  /// Statistics, deflating when the guest runs short of memory, and free page reporting.
  public var features: UInt64 { BalloonFeatures.statistics | BalloonFeatures.deflateOnOOM | BalloonFeatures.pageReporting }
  /// Inflate, deflate, statistics, and free pages (twice: see `BalloonWorker.roles`).
  public var queueSizes: [UInt16] { [128, 128, 128, 128, 128] }

  /// Fields of the configuration space (section 5.5.4): what the device wants, and what the driver has given, in pages.
  private enum Layout {
    static let target = 0
    static let actual = 4
    static let size = 16
  }

  private struct State {
    var space = ConfigurationSpace(size: Layout.size)
    /// From a saved state, for the next activation.
    var restored: ConfigurationSpace?
    var activation: VirtioActivation?
    var slot = WorkerSlot()
    /// Wakes the worker to give the statistics' buffer back.
    var request: EventFD?
  }

  private let state = Mutex(State())
  private let statisticsExchange = StatisticsExchange()
  private let logger: Logger

  /// Makes a balloon that holds nothing.
  public init(logger: Logger = Logger(label: "crosvm.balloon")) { self.logger = logger }

  // MARK: The host's side

  /// Why the guest was not asked.
  public enum Refusal: Error, CustomStringConvertible {
    /// No driver serves the balloon.
    case noDriver
    /// More than the guest has.
    case tooLarge(bytes: UInt64, memory: UInt64)
    /// The driver knows no statistics, or has not answered.
    case noStatistics

    /// What is wrong, and what to do.
    public var description: String {
      switch self {
      case .noDriver: "the guest has no driver for its balloon (yet)"
      case .tooLarge(let bytes, let memory): "\(bytes) bytes are more than the guest's memory of \(memory); give less"
      case .noStatistics: "the guest's driver did not tell how it uses its memory; try again"
      }
    }
  }

  /// Asks the driver to give this many bytes, in all; it does so when it can. Rounded down to pages of 4096 bytes.
  public func setTarget(bytes: UInt64) throws(Refusal) {
    let interrupt = try state.withLock { state throws(Refusal) in
      guard let activation = state.activation else { throw .noDriver }
      guard bytes <= activation.memory.size else { throw .tooLarge(bytes: bytes, memory: activation.memory.size) }
      state.space.set(UInt32(clamping: bytes / BalloonRequest.pageSize), at: Layout.target)
      return activation.interrupt
    }
    // Not under the lock: whoever reads the space is told by this.
    interrupt.signalConfigurationChange()
  }

  /// Asks the driver how the guest uses its memory.
  ///
  /// - Returns: How many answers there were before, for `statistics(after:)`.
  func askForStatistics() throws(Refusal) -> Int {
    let request = try state.withLock { state throws(Refusal) in
      guard state.activation != nil, let request = state.request else { throw .noDriver }
      return request
    }
    let count = statisticsExchange.count
    guard statisticsExchange.canAsk else { throw .noStatistics }
    request.signal()
    return count
  }

  /// The driver's answer, once there is one after the first `count`.
  func statistics(after count: Int) -> BalloonStatistics? {
    guard let values = statisticsExchange.answer(after: count) else { return nil }
    let pages = state.withLock { $0.space.read(offset: UInt64(Layout.actual), width: 4) }
    // No overflow: 32 bits of pages.
    return BalloonStatistics(values: values, balloonBytes: pages * BalloonRequest.pageSize)
  }

  // MARK: The guest's side

  /// Reads what is wanted and what is given.
  public func readConfiguration(offset: UInt64, width: Int) -> UInt64 { state.withLock { $0.space.read(offset: offset, width: width) } }

  /// Takes how many pages the driver has given; the rest cannot be written.
  public func writeConfiguration(offset: UInt64, width: Int, value: UInt64) {
    guard offset == UInt64(Layout.actual), width == 4 else { return }
    state.withLock { $0.space.write(offset: offset, width: width, value: value) }
  }

  /// Begins to serve the queues.
  public func activate(_ activation: VirtioActivation) throws {
    reset()
    try state.withLock { state in
      let worker = try BalloonWorker.start(activation, statistics: statisticsExchange, logger: logger, suspended: state.slot.isSuspended)
      let request = try EventFD()
      try worker.watch(request.number) { [statisticsExchange] _ in
        request.drain()
        statisticsExchange.giveBack()
      }
      (state.activation, state.request) = (activation, request)
      state.slot.fill(worker)
      if let restored = state.restored.take() { state.space = restored }
    }
  }

  /// Ends the worker. What the guest gave is its own again: a driver that comes begins anew.
  public func reset() {
    let worker = state.withLock { state in
      state.activation = nil
      state.request = nil
      state.space = ConfigurationSpace(size: Layout.size)
      return state.slot.take()
    }
    worker?.stop()
    statisticsExchange.forget()
  }

  /// Holds requests back.
  public func suspend() {
    state.withLock { $0.slot.suspend() }
  }

  /// Serves requests again.
  public func resume() {
    state.withLock { $0.slot.resume() }
  }

  /// The configuration space.
  public func snapshot() throws -> [UInt8] { state.withLock { $0.space.bytes } }

  /// Takes over a configuration space.
  ///
  /// - Throws: `DeviceStateError` for a state that is no balloon's.
  public func restore(_ bytes: [UInt8]) throws {
    guard bytes.count == Layout.size else {
      throw DeviceStateError("a balloon's state has \(Layout.size) bytes, but \(bytes.count) were given")
    }
    var space = ConfigurationSpace()
    space.append(contentsOf: bytes)
    state.withLock { state in
      state.space = space
      state.restored = space
    }
  }
}
