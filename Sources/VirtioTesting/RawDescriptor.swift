/// A descriptor with any values, as a hostile driver may write it.
public struct RawDescriptor: Hashable, Sendable {
  /// The flags of virtio 1.2, sections 2.7.5 and 2.8.13.
  public enum Flag {
    /// VIRTQ_DESC_F_NEXT.
    public static let next: UInt16 = 1
    /// VIRTQ_DESC_F_WRITE.
    public static let write: UInt16 = 2
    /// VIRTQ_DESC_F_INDIRECT.
    public static let indirect: UInt16 = 4
    /// VIRTQ_DESC_F_AVAIL of packed rings.
    public static let available: UInt16 = 1 << 7
    /// VIRTQ_DESC_F_USED of packed rings.
    public static let used: UInt16 = 1 << 15
  }

  /// The buffer's guest-physical address.
  public var address: UInt64
  /// The buffer's length in bytes.
  public var length: UInt32
  /// Any bits.
  public var flags: UInt16
  /// Split: the next descriptor's index. Packed: the buffer ID.
  public var link: UInt16

  /// Gathers the values.
  public init(address: UInt64, length: UInt32, flags: UInt16 = 0, link: UInt16 = 0) {
    self.address = address
    self.length = length
    self.flags = flags
    self.link = link
  }

  /// The 16 bytes of a split ring's descriptor.
  public var splitBytes: [UInt8] { bytes(address, 8) + bytes(UInt64(length), 4) + bytes(UInt64(flags), 2) + bytes(UInt64(link), 2) }

  /// The 16 bytes of a packed ring's descriptor.
  public var packedBytes: [UInt8] { bytes(address, 8) + bytes(UInt64(length), 4) + bytes(UInt64(link), 2) + bytes(UInt64(flags), 2) }

  private func bytes(_ value: UInt64, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
  }
}
