internal import PCI
internal import Sandbox
internal import Virtio

/// A device in its slot: what the machine does with it, wherever it runs.
protocol PluggedDevice: PCIDevice {
  /// Holds the device still: requests under way are finished, and none is begun.
  ///
  /// - Returns: Whether it stands still: not when its process does not answer.
  func holdStill() -> Bool

  /// Ends `holdStill`.
  func goOn()

  /// Makes accesses that wait for another process give up: the machine ends.
  func endAccesses()

  /// Ends the device; no memory of the guest is touched afterwards.
  ///
  /// - Parameter milliseconds: How long another process gets for that; what it does then is ended with it.
  func stop(within milliseconds: Int32)

  /// Carries an order of the user to the device; see `VirtioDevice.perform`.
  func perform(_ order: [UInt8]) throws -> [UInt8]
}

extension DeviceProxy: PluggedDevice {}

/// A device in the VMM's own process (`--disable-sandbox`).
extension VirtioPCIDevice: PluggedDevice {
  func perform(_ order: [UInt8]) throws -> [UInt8] { try device.perform(order) }

  func holdStill() -> Bool {
    suspend()
    return true
  }

  func goOn() { resume() }

  func endAccesses() {}

  func stop(within milliseconds: Int32) {
    stop()
    device.finish()
  }
}
