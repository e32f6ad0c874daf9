public import Virtio

/// A frame that the driver wants to be sent, understood and checked (virtio 1.2, section 5.1.6.2).
public enum NetRequest: Equatable, Sendable {
  /// Send the readable buffers from byte `NetHeader.size` on.
  case send(NetHeader, count: Int)
  /// Send nothing.
  case refused(Refusal)

  /// Why a frame is not sent.
  public enum Refusal: String, Equatable, Sendable, CaseIterable {
    /// Part of it is not in guest memory.
    case unreachable = "frames are not in memory that devices reach"
    /// It has no header, or no Ethernet header behind it.
    case short = "frames are too short"
    /// It is larger than any IP packet.
    case long = "frames are too long"
    /// Its checksum is to be filled in beyond its end, or though the driver did not say that it would ask for that.
    case checksum = "checksums are to be filled in where there is nothing"
    /// It is to be cut in a way that the driver did not say it would ask for, or without a checksum.
    case segmentation = "frames are to be cut in unknown ways"
    /// It is to be cut into pieces of nothing, or of hardly anything.
    case segmentSize = "frames are to be cut into pieces that are too small"
  }

  /// The longest frame: an IP packet of 65,535 bytes behind the headers of Ethernet and a VLAN.
  public static let frameLimit = 65535 + 18
  /// The shortest: an Ethernet header.
  static let frameMinimum = 14
  /// The least data in a segment of TCP or a piece of UDP. Each becomes a packet of the host's, and no honest guest's hold less.
  static let leastSegment: UInt16 = 8
  /// The most datagrams that one frame of them becomes, of any size: as many as Linux lets a program ask for (UDP_MAX_SEGMENTS).
  static let datagramLimit = 128

  /// Understands a request. Reads each byte of the header once, whatever the driver does meanwhile.
  ///
  /// - Parameter features: What the driver accepted.
  public init(_ chain: DescriptorChain, features: UInt64) {
    if chain.isCut {
      self = .refused(.unreachable)
      return
    }
    var reader = ChainReader(chain)
    guard let first = try? reader.read(UInt64.self), let second = try? reader.read(UInt32.self),
      reader.remaining >= UInt64(NetRequest.frameMinimum)
    else {
      self = .refused(.short)
      return
    }
    guard reader.remaining <= UInt64(NetRequest.frameLimit) else {
      self = .refused(.long)
      return
    }
    let count = Int(reader.remaining)
    var header = NetHeader(first: first, second: second)
    // The other flags are for received frames.
    header.flags &= NetHeader.Flag.needsChecksum
    if let refusal = NetRequest.refusal(header, count: count, features) {
      self = .refused(refusal)
      return
    }
    if header.segmentation == NetHeader.Segmentation.none { header.segmentSize = 0 }
    // A hint that the device must not rely on (section 5.1.6.2.1), and that the host's kernel refuses where it is too large.
    header.headerLength = UInt16(clamping: min(Int(header.headerLength), count))
    self = .send(header, count: count)
  }

  private static func refusal(_ header: NetHeader, count: Int, _ features: UInt64) -> Refusal? {
    let needsChecksum = header.flags != 0
    if needsChecksum {
      // No sum overflows: 16 bits each.
      guard features & NetFeatures.checksum != 0, Int(header.checksumStart) + Int(header.checksumOffset) + 2 <= count else {
        return .checksum
      }
    }
    guard header.segmentation != NetHeader.Segmentation.none else { return nil }
    guard needsChecksum, let needed = feature(of: header.segmentation), features & needed == needed else { return .segmentation }
    // The kernel has another meaning for the largest value.
    guard header.segmentSize != .max, hasFewSegments(header, count: count) else { return .segmentSize }
    return nil
  }

  /// Whether a frame is cut into no more packets than an honest one would be.
  private static func hasFewSegments(_ header: NetHeader, count: Int) -> Bool {
    guard header.segmentation == NetHeader.Segmentation.udpDatagrams else { return header.segmentSize >= leastSegment }
    // Behind the header of UDP, where the checksum begins. No product overflows: 16 bits and 128.
    let data = count - Int(header.checksumStart) - 8
    return header.segmentSize > 0 && data <= Int(header.segmentSize) * datagramLimit
  }

  /// The features without which a frame may not be cut so; `nil` for an unknown way.
  private static func feature(of segmentation: UInt8) -> UInt64? {
    let mark = segmentation & NetHeader.Segmentation.congestionMark != 0 ? NetFeatures.hostECN : 0
    switch segmentation & ~NetHeader.Segmentation.congestionMark {
    case NetHeader.Segmentation.tcp4: return NetFeatures.hostTSO4 | mark
    case NetHeader.Segmentation.tcp6: return NetFeatures.hostTSO6 | mark
    case NetHeader.Segmentation.udp where mark == 0: return NetFeatures.hostUFO
    case NetHeader.Segmentation.udpDatagrams where mark == 0: return NetFeatures.hostUSO
    default: return nil
    }
  }
}
