internal import Synchronization

/// The registers of the common configuration structure (virtio 1.2, section 4.1.4.3).
///
/// It keeps what the driver says and decides what may still be said; what follows from it is the device's to do.
struct CommonConfiguration: Sendable {
  /// The bytes of the structure without the fields for notification data and queue reset, whose features are not offered.
  static let size: UInt64 = 0x38

  /// What the driver says of a queue.
  struct Queue: Sendable, Equatable {
    /// The largest size, which is also the one at the start.
    let maximumSize: UInt16
    var size: UInt16
    var isEnabled = false
    var descriptorArea: UInt64 = 0
    var driverArea: UInt64 = 0
    var deviceArea: UInt64 = 0

    init(maximumSize: UInt16) {
      self.maximumSize = maximumSize
      size = maximumSize
    }
  }

  /// The fields by rising offset; each may be accessed whole or in aligned parts.
  enum Field: Int, Sendable {
    case deviceFeatureSelect, deviceFeature, driverFeatureSelect, driverFeature
    case configurationVector, queueCount, deviceStatus, generation, queueSelect
    case queueSize, queueVector, queueEnable, queueNotifyOffset
    case descriptorLow, descriptorHigh, driverLow, driverHigh, deviceLow, deviceHigh

    /// The field that an access lies in, and where in the field.
    static func at(_ offset: UInt64, _ width: Int) -> (field: Field, offset: Int)? {
      guard let index = starts.lastIndex(where: { $0 <= offset }), let field = Field(rawValue: index) else { return nil }
      let end = index + 1 < starts.count ? starts[index + 1] : CommonConfiguration.size
      guard offset + UInt64(width) <= end, offset % UInt64(width) == 0 else { return nil }
      return (field, Int(offset - starts[index]))
    }

    private static let starts: [UInt64] = [
      0x00, 0x04, 0x08, 0x0c, 0x10, 0x12, 0x14, 0x15, 0x16, 0x18, 0x1a, 0x1c, 0x1e, 0x20, 0x24, 0x28, 0x2c, 0x30, 0x34,
    ]
  }

  /// All feature bits that the device and the transport offer.
  let offeredFeatures: UInt64
  /// What the driver wants of them; frozen by FEATURES_OK.
  var driverFeatures: UInt64 = 0
  var queues: [Queue]
  var deviceFeatureSelect: UInt32 = 0
  var driverFeatureSelect: UInt32 = 0
  var queueSelect: UInt16 = 0
  /// Holds what worker threads read or change too: status, generation and vectors.
  let shared: VirtioPCIInterrupt

  init(offeredFeatures: UInt64, queueSizes: [UInt16], shared: VirtioPCIInterrupt) {
    self.offeredFeatures = offeredFeatures
    queues = queueSizes.map { Queue(maximumSize: $0) }
    self.shared = shared
  }

  /// Whether the driver accepts nothing that was not offered, and speaks this version of the specification (section 6.1).
  var featuresAreAcceptable: Bool {
    driverFeatures & ~offeredFeatures == 0 && driverFeatures & VirtioFeatures.version1 != 0
  }

  /// The state after a reset; what the driver said is forgotten.
  mutating func reset() {
    self = CommonConfiguration(offeredFeatures: offeredFeatures, queueSizes: queues.map(\.maximumSize), shared: shared)
  }

  /// Answers a load of 1, 2 or 4 bytes of one field, or of 8 bytes of two; others read as all ones.
  func read(_ offset: UInt64, _ width: Int) -> UInt64 {
    if width == 8 {
      guard offset % 8 == 0, let low = value(offset, 4), let high = value(offset + 4, 4) else { return .max }
      return UInt64(low) | UInt64(high) << 32
    }
    return value(offset, width).map { UInt64($0) } ?? .max
  }

  private func value(_ offset: UInt64, _ width: Int) -> UInt32? {
    guard width == 1 || width == 2 || width == 4, let (field, part) = Field.at(offset, width) else { return nil }
    return load(field) >> UInt32(8 * part)
  }

  /// Takes a store for which `read` has a value; others are ignored.
  ///
  /// - Returns: A status that the driver writes, which the device must act on.
  mutating func write(_ offset: UInt64, _ width: Int, _ value: UInt64) -> UInt8? {
    if width == 8 {
      guard offset % 8 == 0, Field.at(offset, 4) != nil, Field.at(offset + 4, 4) != nil else { return nil }
      // Neither half is the status, which is one byte.
      _ = write(offset, 4, value & 0xffff_ffff)
      return write(offset + 4, 4, value >> 32)
    }
    guard width == 1 || width == 2 || width == 4, let (field, part) = Field.at(offset, width) else { return nil }
    let mask = (UInt32.max >> UInt32(32 - 8 * width)) << UInt32(8 * part)
    let merged = load(field) & ~mask | UInt32(truncatingIfNeeded: value) << UInt32(8 * part) & mask
    if field == .deviceStatus { return UInt8(truncatingIfNeeded: merged) }
    store(merged, in: field)
    return nil
  }

  private func load(_ field: Field) -> UInt32 {
    let queue = Int(queueSelect) < queues.count ? queues[Int(queueSelect)] : nil
    return switch field {
    case .deviceFeatureSelect: deviceFeatureSelect
    case .deviceFeature: CommonConfiguration.half(offeredFeatures, deviceFeatureSelect)
    case .driverFeatureSelect: driverFeatureSelect
    case .driverFeature: CommonConfiguration.half(driverFeatures, driverFeatureSelect)
    case .configurationVector: UInt32(shared.configurationVector)
    case .queueCount: UInt32(queues.count)
    case .deviceStatus: UInt32(shared.status.rawValue)
    case .generation: UInt32(shared.generation)
    case .queueSelect: UInt32(queueSelect)
    // A size of zero says that there is no such queue.
    case .queueSize: UInt32(queue?.size ?? 0)
    case .queueVector: UInt32(shared.vector(ofQueue: queueSelect))
    case .queueEnable: queue?.isEnabled == true ? 1 : 0
    case .queueNotifyOffset: queue == nil ? 0 : UInt32(queueSelect)
    case .descriptorLow: CommonConfiguration.half(queue?.descriptorArea ?? 0, 0)
    case .descriptorHigh: CommonConfiguration.half(queue?.descriptorArea ?? 0, 1)
    case .driverLow: CommonConfiguration.half(queue?.driverArea ?? 0, 0)
    case .driverHigh: CommonConfiguration.half(queue?.driverArea ?? 0, 1)
    case .deviceLow: CommonConfiguration.half(queue?.deviceArea ?? 0, 0)
    case .deviceHigh: CommonConfiguration.half(queue?.deviceArea ?? 0, 1)
    }
  }

  private mutating func store(_ value: UInt32, in field: Field) {
    switch field {
    case .deviceFeatureSelect: deviceFeatureSelect = value
    case .driverFeatureSelect: driverFeatureSelect = value
    case .driverFeature:
      if !shared.status.contains(.featuresOK) { CommonConfiguration.setHalf(&driverFeatures, driverFeatureSelect, value) }
    case .configurationVector: shared.setConfigurationVector(UInt16(truncatingIfNeeded: value))
    case .queueSelect: queueSelect = UInt16(truncatingIfNeeded: value)
    case .queueVector: shared.setVector(UInt16(truncatingIfNeeded: value), ofQueue: queueSelect)
    case .queueSize: changeQueue { $0.size = UInt16(truncatingIfNeeded: value) }
    // Writing anything but 1 is forbidden to drivers; only a reset disables (section 4.1.4.3.2).
    case .queueEnable: changeQueue { $0.isEnabled = value == 1 }
    case .descriptorLow: changeQueue { CommonConfiguration.setHalf(&$0.descriptorArea, 0, value) }
    case .descriptorHigh: changeQueue { CommonConfiguration.setHalf(&$0.descriptorArea, 1, value) }
    case .driverLow: changeQueue { CommonConfiguration.setHalf(&$0.driverArea, 0, value) }
    case .driverHigh: changeQueue { CommonConfiguration.setHalf(&$0.driverArea, 1, value) }
    case .deviceLow: changeQueue { CommonConfiguration.setHalf(&$0.deviceArea, 0, value) }
    case .deviceHigh: changeQueue { CommonConfiguration.setHalf(&$0.deviceArea, 1, value) }
    case .deviceFeature, .queueCount, .deviceStatus, .generation, .queueNotifyOffset: break
    }
  }

  /// Changes the selected queue; a queue that is enabled, or serves already, stays as it is.
  private mutating func changeQueue(_ body: (inout Queue) -> Void) {
    guard Int(queueSelect) < queues.count, !queues[Int(queueSelect)].isEnabled, !shared.status.contains(.driverOK) else { return }
    body(&queues[Int(queueSelect)])
  }

  /// 32 of 64 bits; a selector above 1 finds zero.
  private static func half(_ value: UInt64, _ select: UInt32) -> UInt32 {
    select < 2 ? UInt32(truncatingIfNeeded: value >> UInt64(32 * select)) : 0
  }

  private static func setHalf(_ target: inout UInt64, _ select: UInt32, _ value: UInt32) {
    guard select < 2 else { return }
    let shift = UInt64(32 * select)
    target = target & ~(0xffff_ffff << shift) | UInt64(value) << shift
  }
}
