internal import Platform
internal import Synchronization
public import Virtio

/// The socket device (virtio 1.2, section 5.10) that connects the guest's sockets with Unix sockets of the host, by itself: no kernel module
/// of the host has a part in it.
public final class VsockDevice: VirtioDevice {
  /// The socket device's number.
  public var type: VirtioDeviceType { .socket }
  /// Streams and sequenced packets.
  public var features: UInt64 { VsockFeatures.stream | VsockFeatures.sequenced | VsockFeatures.noImpliedStream }
  /// Receive, transmit, and events (section 5.10.2).
  public var queueSizes: [UInt16] { VsockDevice.queueSizes }

  static let queueSizes: [UInt16] = [256, 256, 256]

  private struct State {
    var worker: VsockWorker?
    var isSuspended = false
  }

  private let state = Mutex(State())
  private let space: ConfigurationSpace
  private let table: VsockSwitch

  init(context: UInt32, table: VsockSwitch) {
    space = VsockDevice.space(context)
    self.table = table
  }

  /// The configuration space: the guest's context identifier (section 5.10.4).
  static func space(_ context: UInt32) -> ConfigurationSpace {
    var space = ConfigurationSpace()
    space.append(UInt64(context))
    return space
  }

  /// Reads the guest's context identifier.
  public func readConfiguration(offset: UInt64, width: Int) -> UInt64 { space.read(offset: offset, width: width) }

  /// The driver changes nothing.
  public func writeConfiguration(offset: UInt64, width: Int, value: UInt64) {}

  /// Begins to connect sockets.
  public func activate(_ activation: VirtioActivation) throws {
    reset()
    try state.withLock { state in
      state.worker = try VsockWorker(activation, table: table, suspended: state.isSuspended)
    }
  }

  /// Ends all connections. What the guest sent before still goes to the host's programs, once there is a driver again, or at the end.
  public func reset() {
    guard let worker = state.withLock({ $0.worker.take() }) else { return }
    worker.stop()
    table.finishDriver()
  }

  /// Holds the connections still.
  public func suspend() {
    state.withLock { state in
      state.isSuspended = true
      state.worker?.suspend()
    }
  }

  /// Goes on.
  public func resume() {
    state.withLock { state in
      state.isSuspended = false
      state.worker?.resume()
    }
  }

  /// Nothing: connections do not survive.
  public func snapshot() throws -> [UInt8] { [] }

  /// Notes that the driver has connections that are gone: it is told (section 5.10.6.7).
  ///
  /// - Throws: `VsockStateError` for a state that is no socket device's.
  public func restore(_ state: [UInt8]) throws {
    guard state.isEmpty else { throw VsockStateError(count: state.count) }
    table.owesTransportReset = true
  }

  /// What the guest sent last gets a second to reach the host's programs.
  public func finish() { table.drain(milliseconds: 1000) }
}

/// Bytes that are no saved state of a socket device.
public struct VsockStateError: Error, Equatable, Sendable, CustomStringConvertible {
  /// How many there are.
  public let count: Int
  /// One line.
  public var description: String { "a socket device has no state, but \(count) bytes were given" }
}
