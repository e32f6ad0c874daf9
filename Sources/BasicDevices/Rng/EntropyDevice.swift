internal import Platform
internal import Synchronization
public import Virtio

/// The entropy device (virtio 1.2, section 5.4): fills the driver's buffers with random bytes of the host's kernel.
public final class EntropyDevice: VirtioDevice {
  /// The entropy device's number.
  public var type: VirtioDeviceType { .entropy }
  /// There are none (section 5.4.3).
  public var features: UInt64 { 0 }
  /// One queue, for requests (section 5.4.2).
  public var queueSizes: [UInt16] { [256] }

  private struct State {
    var slot = WorkerSlot()
  }

  private let state = Mutex(State())
  private let configuration: EntropyConfiguration

  /// Makes a device.
  public init(_ configuration: EntropyConfiguration = EntropyConfiguration()) { self.configuration = configuration }

  /// There is no configuration space (section 5.4.4).
  public func readConfiguration(offset: UInt64, width: Int) -> UInt64 { 0 }

  /// There is no configuration space.
  public func writeConfiguration(offset: UInt64, width: Int, value: UInt64) {}

  /// Begins to serve requests.
  public func activate(_ activation: VirtioActivation) throws {
    reset()
    guard let queue = activation.queues.first ?? nil else { return }
    try state.withLock { state in
      state.slot.fill(try EntropyWorker.start(queue, configuration: configuration, suspended: state.slot.isSuspended))
    }
  }

  /// Ends the worker.
  public func reset() { state.withLock { $0.slot.take() }?.stop() }

  /// Holds requests back.
  public func suspend() {
    state.withLock { $0.slot.suspend() }
  }

  /// Serves requests again.
  public func resume() {
    state.withLock { $0.slot.resume() }
  }

  /// Nothing: the device has no state of its own.
  public func snapshot() throws -> [UInt8] { [] }

  /// Takes over nothing.
  ///
  /// - Throws: `DeviceStateError` for a state that is no entropy device's.
  public func restore(_ state: [UInt8]) throws {
    guard state.isEmpty else { throw DeviceStateError("an entropy device has no state, but \(state.count) bytes were given") }
  }
}
