/// How far driver and device have come (virtio 1.2, section 2.1).
struct DeviceStatus: OptionSet, Hashable, Sendable {
  let rawValue: UInt8
  static let acknowledge = DeviceStatus(rawValue: 1)
  static let driver = DeviceStatus(rawValue: 2)
  static let driverOK = DeviceStatus(rawValue: 4)
  static let featuresOK = DeviceStatus(rawValue: 8)
  static let needsReset = DeviceStatus(rawValue: 64)
  static let failed = DeviceStatus(rawValue: 128)

  /// What a driver may set; the rest is the device's or reserved.
  static let settable: DeviceStatus = [.acknowledge, .driver, .driverOK, .featuresOK, .failed]

  /// Whether this is a status that driver and device can come to, with the device serving its queues or not.
  ///
  /// - Parameter isActive: Whether the device serves its queues.
  func canBe(whileActive isActive: Bool) -> Bool {
    guard isSubset(of: DeviceStatus.settable.union(.needsReset)), !contains(.driverOK) || contains(.featuresOK) else { return false }
    // A driver that is ready is served, or was told that it is not.
    return isActive ? contains(.driverOK) : !contains(.driverOK) || contains(.needsReset)
  }
}
