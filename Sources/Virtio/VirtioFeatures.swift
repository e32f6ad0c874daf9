/// Feature bits that belong to rings and transports rather than to a device type (virtio 1.2, section 6), each as a mask.
public enum VirtioFeatures {
  /// VIRTIO_F_INDIRECT_DESC, bit 28: a descriptor may point to a table of descriptors (sections 2.7.5.3 and 2.8.7).
  public static let indirectDescriptors: UInt64 = 1 << 28
  /// VIRTIO_F_EVENT_IDX, bit 29: each side names the index at which it wants to be told (sections 2.7.7, 2.7.10 and 2.8.10).
  public static let eventIndex: UInt64 = 1 << 29
  /// VIRTIO_F_VERSION_1, bit 32: the device is not a legacy one. Always offered and always required.
  public static let version1: UInt64 = 1 << 32
  /// VIRTIO_F_ACCESS_PLATFORM, bit 33: the device's accesses go through an IOMMU. Never offered.
  public static let accessPlatform: UInt64 = 1 << 33
  /// VIRTIO_F_RING_PACKED, bit 34: the rings are packed (section 2.8) instead of split (section 2.7).
  public static let packedRing: UInt64 = 1 << 34
  /// VIRTIO_F_IN_ORDER, bit 35: buffers are used in the order in which they were made available.
  public static let inOrder: UInt64 = 1 << 35
  /// VIRTIO_F_ORDER_PLATFORM, bit 36: the driver must order its memory accesses as for a device in hardware.
  public static let orderPlatform: UInt64 = 1 << 36
  /// VIRTIO_F_NOTIFICATION_DATA, bit 38: a doorbell write says more than the queue's number.
  public static let notificationData: UInt64 = 1 << 38
  /// VIRTIO_F_RING_RESET, bit 40: one queue can be reset alone (section 2.6.1).
  public static let ringReset: UInt64 = 1 << 40

  /// What `VirtQueue` implements: the bits that a transport adds to those of any device.
  public static let implementedByQueues: UInt64 = indirectDescriptors | eventIndex | version1 | packedRing

  /// All bits that belong to rings and transports: 24...49.
  public static let reservedForTransport: UInt64 = (1 << 50) - (1 << 24)
}
