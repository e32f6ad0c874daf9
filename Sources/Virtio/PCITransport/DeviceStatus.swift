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
}
