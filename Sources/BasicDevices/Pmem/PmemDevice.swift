public import Logging
internal import Platform
internal import Synchronization
public import Virtio

/// The persistent memory device (virtio 1.2, section 5.19): tells the driver where in guest-physical memory an image is, and puts what was
/// written there on stable storage when the driver asks for it. The machine maps the image; the device never touches that memory.
public final class PmemDevice: VirtioDevice {
  /// The persistent memory device's number.
  public var type: VirtioDeviceType { .pmem }
  /// There are none in the specification (section 5.19.3).
  public var features: UInt64 { 0 }
  /// One queue, for requests (section 5.19.2).
  public var queueSizes: [UInt16] { [256] }

  private let state = Mutex(WorkerSlot())
  private let space: ConfigurationSpace
  private let worker: PmemWorker

  /// Makes a device.
  ///
  /// - Parameters:
  ///   - addresses: Where the image is in guest-physical memory.
  ///   - flush: Puts everything that was written there on stable storage, and returns zero or an `errno`. Called by the device's thread.
  ///   - logger: Where failures are reported.
  public init(addresses: Range<UInt64>, flush: @escaping @Sendable () -> Int32, logger: Logger) {
    var space = ConfigurationSpace()
    space.append(addresses.lowerBound)
    space.append(addresses.upperBound - addresses.lowerBound)
    self.space = space
    worker = PmemWorker(flush: flush, logger: logger)
  }

  /// Where the memory begins, and how many bytes it has (section 5.19.4).
  public func readConfiguration(offset: UInt64, width: Int) -> UInt64 { space.read(offset: offset, width: width) }

  /// The driver changes neither.
  public func writeConfiguration(offset: UInt64, width: Int, value: UInt64) {}

  /// Begins to serve requests.
  public func activate(_ activation: VirtioActivation) throws {
    reset()
    guard let queue = activation.queues.first ?? nil else { return }
    try state.withLock { $0.fill(try worker.start(queue, suspended: $0.isSuspended)) }
  }

  /// Ends the worker, after the request that it is at.
  public func reset() { state.withLock { $0.take() }?.stop() }

  /// Holds requests back.
  public func suspend() { state.withLock { $0.suspend() } }

  /// Serves requests again.
  public func resume() { state.withLock { $0.resume() } }

  /// Nothing: the memory is the image's, and its place is the configuration's.
  public func snapshot() throws -> [UInt8] { [] }

  /// Takes over nothing.
  ///
  /// - Throws: `DeviceStateError` for a state that is no persistent memory device's.
  public func restore(_ state: [UInt8]) throws {
    guard state.isEmpty else { throw DeviceStateError("a persistent memory device has no state, but \(state.count) bytes were given") }
  }
}
