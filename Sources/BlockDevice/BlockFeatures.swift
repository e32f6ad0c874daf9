/// Feature bits of block devices (virtio 1.2, section 5.2.3), each as a mask.
public enum BlockFeatures {
  /// VIRTIO_BLK_F_SEG_MAX, bit 2: the configuration says how many buffers a request may have.
  public static let segmentMaximum: UInt64 = 1 << 2
  /// VIRTIO_BLK_F_RO, bit 5: the device is read-only.
  public static let readOnly: UInt64 = 1 << 5
  /// VIRTIO_BLK_F_BLK_SIZE, bit 6: the configuration says the block size.
  public static let blockSize: UInt64 = 1 << 6
  /// VIRTIO_BLK_F_FLUSH, bit 9: writes may be cached, and flushed by request.
  public static let flush: UInt64 = 1 << 9
  /// VIRTIO_BLK_F_TOPOLOGY, bit 10: the configuration says which blocks and lengths suit the disk.
  public static let topology: UInt64 = 1 << 10
  /// VIRTIO_BLK_F_CONFIG_WCE, bit 11: the driver may switch the write cache.
  public static let writeCacheSwitch: UInt64 = 1 << 11
  /// VIRTIO_BLK_F_MQ, bit 12: there are several queues.
  public static let multipleQueues: UInt64 = 1 << 12
  /// VIRTIO_BLK_F_DISCARD, bit 13: ranges can be given back.
  public static let discard: UInt64 = 1 << 13
  /// VIRTIO_BLK_F_WRITE_ZEROES, bit 14: ranges can be filled with zeroes.
  public static let writeZeroes: UInt64 = 1 << 14
}
