public import GuestMemory

/// What a driver programmed for one queue, as it is: nothing is checked before `VirtQueue` is made of it.
public struct QueueConfiguration: Hashable, Sendable {
  /// The number of descriptors.
  public var size: UInt16
  /// The largest size that the device offered for this queue.
  public var maximumSize: UInt16
  /// Where the descriptor table or descriptor ring begins.
  public var descriptorArea: GuestAddress
  /// Where the available ring or the driver's event suppression structure begins.
  public var driverArea: GuestAddress
  /// Where the used ring or the device's event suppression structure begins.
  public var deviceArea: GuestAddress

  /// The largest size of any queue (virtio 1.2, sections 2.7 and 2.8).
  public static let largestSize: UInt16 = 32768

  /// Gathers the driver's values.
  public init(
    size: UInt16, maximumSize: UInt16 = largestSize, descriptorArea: GuestAddress, driverArea: GuestAddress, deviceArea: GuestAddress
  ) {
    self.size = size
    self.maximumSize = maximumSize
    self.descriptorArea = descriptorArea
    self.driverArea = driverArea
    self.deviceArea = deviceArea
  }

  /// An area with its place and the rules for it.
  private struct Extent {
    let area: QueueArea
    let address: GuestAddress
    let count: UInt64
    let alignment: UInt64

    func overlaps(_ other: Extent) -> Bool {
      // Neither sum wraps: both areas were found in guest memory.
      address.rawValue < other.address.rawValue + other.count && other.address.rawValue < address.rawValue + count
    }
  }

  /// The areas as checked windows, in the order descriptors, driver, device.
  ///
  /// - Throws: `QueueError` for a size, an alignment or a place that sections 2.7 and 2.8 do not allow.
  func areas(in memory: GuestMemory, features: UInt64) throws(QueueError) -> (GuestSlice, GuestSlice, GuestSlice) {
    let packed = features & VirtioFeatures.packedRing != 0
    let limit = min(maximumSize, QueueConfiguration.largestSize)
    guard size > 0, size <= limit, packed || size.nonzeroBitCount == 1 else { throw .badSize(size, maximum: limit) }
    let extents = extents(packed: packed, eventIndex: features & VirtioFeatures.eventIndex != 0)
    let slices = (
      try QueueConfiguration.slice(extents.0, memory), try QueueConfiguration.slice(extents.1, memory),
      try QueueConfiguration.slice(extents.2, memory)
    )
    if extents.0.overlaps(extents.1) { throw .overlap(.descriptors, .driver) }
    if extents.0.overlaps(extents.2) { throw .overlap(.descriptors, .device) }
    if extents.1.overlaps(extents.2) { throw .overlap(.driver, .device) }
    return slices
  }

  private func extents(packed: Bool, eventIndex: Bool) -> (Extent, Extent, Extent) {
    let entries = UInt64(size)
    // Split rings end in an event index only where that was negotiated; some drivers put the next area right there otherwise.
    let event: UInt64 = eventIndex ? 2 : 0
    return (
      Extent(area: .descriptors, address: descriptorArea, count: 16 * entries, alignment: 16),
      Extent(area: .driver, address: driverArea, count: packed ? 4 : 4 + 2 * entries + event, alignment: packed ? 4 : 2),
      Extent(area: .device, address: deviceArea, count: packed ? 4 : 4 + 8 * entries + event, alignment: 4)
    )
  }

  private static func slice(_ extent: Extent, _ memory: GuestMemory) throws(QueueError) -> GuestSlice {
    guard extent.address.rawValue % extent.alignment == 0 else {
      throw .misaligned(extent.area, extent.address, alignment: extent.alignment)
    }
    do { return try memory.slice(extent.address, count: extent.count) } catch {
      throw .outsideMemory(extent.area, extent.address, count: extent.count)
    }
  }
}
