/// What stands before each frame in a buffer (virtio 1.2, section 5.1.6): 12 bytes, little-endian.
public struct NetHeader: Equatable, Sendable {
  /// The number of bytes.
  public static let size = 12
  /// Where the count of merged buffers is, which the device writes into received frames.
  static let bufferCountOffset = 10

  /// Bits of `flags`.
  enum Flag {
    static let needsChecksum: UInt8 = 1
  }

  /// Values of `segmentation`.
  enum Segmentation {
    static let none: UInt8 = 0
    static let tcp4: UInt8 = 1
    static let udp: UInt8 = 3
    static let tcp6: UInt8 = 4
    static let udpDatagrams: UInt8 = 5
    /// Added to those of TCP.
    static let congestionMark: UInt8 = 0x80
  }

  /// Whether a checksum is to be filled in, and other hints.
  public var flags: UInt8 = 0
  /// How the frame is to be cut (`gso_type`).
  public var segmentation: UInt8 = 0
  /// How long the headers are, as a hint.
  public var headerLength: UInt16 = 0
  /// How many bytes of data go into each piece (`gso_size`).
  public var segmentSize: UInt16 = 0
  /// Where the checksummed bytes begin.
  public var checksumStart: UInt16 = 0
  /// How far behind that the checksum goes.
  public var checksumOffset: UInt16 = 0

  /// A header that asks for nothing.
  public init() {}

  /// Takes the header's bytes apart: its first eight, and of the others those that a driver may set.
  init(first: UInt64, second: UInt32) {
    flags = UInt8(truncatingIfNeeded: first)
    segmentation = UInt8(truncatingIfNeeded: first >> 8)
    headerLength = UInt16(truncatingIfNeeded: first >> 16)
    segmentSize = UInt16(truncatingIfNeeded: first >> 32)
    checksumStart = UInt16(truncatingIfNeeded: first >> 48)
    checksumOffset = UInt16(truncatingIfNeeded: second)
  }

  /// The first eight bytes as a little-endian number.
  var first: UInt64 {
    UInt64(flags) | UInt64(segmentation) << 8 | UInt64(headerLength) << 16 | UInt64(segmentSize) << 32 | UInt64(checksumStart) << 48
  }

  /// The other four; no buffers are counted.
  var second: UInt32 { UInt32(checksumOffset) }

  /// The bytes.
  public var bytes: [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: first >> UInt64(8 * $0)) } + (0..<4).map { UInt8(truncatingIfNeeded: second >> UInt32(8 * $0)) }
  }
}
