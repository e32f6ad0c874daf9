internal import Platform
internal import Synchronization
public import Vhost
public import Virtio

/// The socket device (virtio 1.2, section 5.10) whose packets the host's kernel takes and gives: programs of the host use AF_VSOCK.
public final class KernelVsockDevice: VirtioDevice {
  /// The socket device's number.
  public var type: VirtioDeviceType { .socket }
  /// Those of the kernel.
  public let features: UInt64
  /// Receive, transmit, and events (section 5.10.2). Of the last the kernel knows nothing, and there are none.
  public var queueSizes: [UInt16] { VsockDevice.queueSizes }

  private struct State {
    var service: KernelVsockService?
    var isSuspended = false
  }

  private let state = Mutex(State())
  private let space: ConfigurationSpace
  private let kernel: VhostDevice

  /// Makes a device.
  ///
  /// - Parameters:
  ///   - context: The guest's context identifier, which the kernel knows already.
  ///   - kernel: Owned by this process.
  /// - Throws: `VhostError` where the kernel does not tell its features.
  public init(context: UInt32, kernel: VhostDevice) throws(VhostError) {
    features = try kernel.features() & (VsockFeatures.stream | VsockFeatures.sequenced | VsockFeatures.noImpliedStream)
    space = VsockDevice.space(context)
    self.kernel = kernel
  }

  /// Reads the guest's context identifier.
  public func readConfiguration(offset: UInt64, width: Int) -> UInt64 { space.read(offset: offset, width: width) }

  /// The driver changes nothing.
  public func writeConfiguration(offset: UInt64, width: Int, value: UInt64) {}

  /// Lets the kernel serve the queues.
  public func activate(_ activation: VirtioActivation) throws {
    reset()
    try state.withLock { state in
      let service = try KernelVsockService(activation, kernel: kernel)
      do { if !state.isSuspended { try service.start() } } catch {
        service.pause()
        service.stop()
        throw error
      }
      state.service = service
    }
  }

  /// Takes the queues from the kernel, which keeps its connections until the next driver's packets do not fit them, or until the end.
  public func reset() {
    guard let service = state.withLock({ $0.service.take() }) else { return }
    service.pause()
    service.stop()
  }

  /// Has the kernel hold still.
  public func suspend() {
    state.withLock { state in
      if !state.isSuspended { state.service?.pause() }
      state.isSuspended = true
    }
  }

  /// Has the kernel go on.
  public func resume() {
    state.withLock { state in
      guard state.isSuspended else { return }
      state.isSuspended = false
      state.service?.goOn()
    }
  }

  /// Nothing: connections do not survive.
  public func snapshot() throws -> [UInt8] { [] }

  /// Takes over nothing.
  ///
  /// - Throws: `VsockStateError` for a state that is no socket device's.
  public func restore(_ state: [UInt8]) throws { guard state.isEmpty else { throw VsockStateError(count: state.count) } }
}
