/// Feature bits of network devices (virtio 1.2, section 5.1.3), each as a mask.
public enum NetFeatures {
  /// VIRTIO_NET_F_CSUM, bit 0: the driver may leave checksums to the device.
  public static let checksum: UInt64 = 1 << 0
  /// VIRTIO_NET_F_GUEST_CSUM, bit 1: the driver takes frames with checksums left to it.
  public static let guestChecksum: UInt64 = 1 << 1
  /// VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, bit 2: the driver may change what it takes while it runs.
  public static let controlGuestOffloads: UInt64 = 1 << 2
  /// VIRTIO_NET_F_MTU, bit 3: the configuration says how large frames may be.
  public static let mtu: UInt64 = 1 << 3
  /// VIRTIO_NET_F_MAC, bit 5: the configuration says the address.
  public static let mac: UInt64 = 1 << 5
  /// VIRTIO_NET_F_GUEST_TSO4, bit 7: the driver takes TCP segments over IPv4 that are larger than a frame.
  public static let guestTSO4: UInt64 = 1 << 7
  /// VIRTIO_NET_F_GUEST_TSO6, bit 8: the same over IPv6.
  public static let guestTSO6: UInt64 = 1 << 8
  /// VIRTIO_NET_F_GUEST_ECN, bit 9: such segments may carry congestion marks.
  public static let guestECN: UInt64 = 1 << 9
  /// VIRTIO_NET_F_GUEST_UFO, bit 10: the driver takes UDP datagrams that are to be fragmented.
  public static let guestUFO: UInt64 = 1 << 10
  /// VIRTIO_NET_F_HOST_TSO4, bit 11: the device takes TCP segments over IPv4 that are larger than a frame.
  public static let hostTSO4: UInt64 = 1 << 11
  /// VIRTIO_NET_F_HOST_TSO6, bit 12: the same over IPv6.
  public static let hostTSO6: UInt64 = 1 << 12
  /// VIRTIO_NET_F_HOST_ECN, bit 13: such segments may carry congestion marks.
  public static let hostECN: UInt64 = 1 << 13
  /// VIRTIO_NET_F_HOST_UFO, bit 14: the device takes UDP datagrams that are to be fragmented.
  public static let hostUFO: UInt64 = 1 << 14
  /// VIRTIO_NET_F_MRG_RXBUF, bit 15: a received frame may fill several buffers.
  public static let mergeableBuffers: UInt64 = 1 << 15
  /// VIRTIO_NET_F_STATUS, bit 16: the configuration says the state of the link.
  public static let status: UInt64 = 1 << 16
  /// VIRTIO_NET_F_CTRL_VQ, bit 17: there is a control queue.
  public static let controlQueue: UInt64 = 1 << 17
  /// VIRTIO_NET_F_CTRL_RX, bit 18: the driver chooses which frames it receives.
  public static let controlReceive: UInt64 = 1 << 18
  /// VIRTIO_NET_F_CTRL_VLAN, bit 19: the driver chooses which VLANs it receives.
  public static let controlVLAN: UInt64 = 1 << 19
  /// VIRTIO_NET_F_CTRL_RX_EXTRA, bit 20: more such choices.
  public static let controlReceiveExtra: UInt64 = 1 << 20
  /// VIRTIO_NET_F_GUEST_ANNOUNCE, bit 21: the driver tells the network of itself when asked to.
  public static let guestAnnounce: UInt64 = 1 << 21
  /// VIRTIO_NET_F_MQ, bit 22: there are several pairs of queues.
  public static let multipleQueues: UInt64 = 1 << 22
  /// VIRTIO_NET_F_CTRL_MAC_ADDR, bit 23: the driver may change the address.
  public static let controlMAC: UInt64 = 1 << 23
  /// VIRTIO_NET_F_GUEST_USO4, bit 54: the driver takes UDP datagrams over IPv4 that are to be cut into several.
  public static let guestUSO4: UInt64 = 1 << 54
  /// VIRTIO_NET_F_GUEST_USO6, bit 55: the same over IPv6.
  public static let guestUSO6: UInt64 = 1 << 55
  /// VIRTIO_NET_F_HOST_USO, bit 56: the device takes UDP datagrams that are to be cut into several.
  public static let hostUSO: UInt64 = 1 << 56

  /// What CTRL_GUEST_OFFLOADS may switch (section 5.1.6.5.6).
  static let guestOffloads =
    guestChecksum | guestTSO4 | guestTSO6 | guestECN | guestUFO | guestUSO4 | guestUSO6
}

/// What the other side of a network takes beyond plain frames: checksums to be filled in, and segments to be cut.
public struct NetOffloads: OptionSet, Hashable, Sendable {
  /// The kernel's bits for taps: TUN_F_CSUM and so on.
  public let rawValue: UInt32
  /// Makes a set of the kernel's bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  /// Checksums to be filled in.
  public static let checksum = NetOffloads(rawValue: 1 << 0)
  /// TCP over IPv4.
  public static let tso4 = NetOffloads(rawValue: 1 << 1)
  /// TCP over IPv6.
  public static let tso6 = NetOffloads(rawValue: 1 << 2)
  /// TCP with congestion marks.
  public static let ecn = NetOffloads(rawValue: 1 << 3)
  /// UDP, to be fragmented.
  public static let ufo = NetOffloads(rawValue: 1 << 4)
  /// UDP over IPv4, to be cut into datagrams.
  public static let uso4 = NetOffloads(rawValue: 1 << 5)
  /// UDP over IPv6, to be cut into datagrams.
  public static let uso6 = NetOffloads(rawValue: 1 << 6)

  private static let guestBits: [(feature: UInt64, offload: NetOffloads)] = [
    (NetFeatures.guestTSO4, .tso4), (NetFeatures.guestTSO6, .tso6), (NetFeatures.guestECN, .ecn), (NetFeatures.guestUFO, .ufo),
    (NetFeatures.guestUSO4, .uso4), (NetFeatures.guestUSO6, .uso6),
  ]
  private static let hostBits: [(feature: UInt64, offloads: NetOffloads)] = [
    (NetFeatures.hostTSO4, .tso4), (NetFeatures.hostTSO6, .tso6), (NetFeatures.hostECN, .ecn), (NetFeatures.hostUFO, .ufo),
    (NetFeatures.hostUSO, [.uso4, .uso6]),
  ]

  /// What a guest takes that has accepted these features: nothing without checksums, of which the rest needs to be filled in (section 5.1.3.1).
  init(guestFeatures features: UInt64) {
    self = []
    guard features & NetFeatures.guestChecksum != 0 else { return }
    insert(.checksum)
    for bit in NetOffloads.guestBits where features & bit.feature != 0 { insert(bit.offload) }
    // A driver may accept these alone; the kernel takes congestion marks with TCP only, and both kinds of datagrams or none. A guest that
    // gets less than it takes misses nothing.
    if isDisjoint(with: [.tso4, .tso6]) { remove(.ecn) }
    if !isSuperset(of: [.uso4, .uso6]) { subtract([.uso4, .uso6]) }
  }

  /// The features to offer in front of a network that takes this.
  var features: UInt64 {
    guard contains(.checksum) else { return 0 }
    var features = NetFeatures.checksum | NetFeatures.guestChecksum
    for bit in NetOffloads.guestBits where contains(bit.offload) { features |= bit.feature }
    for bit in NetOffloads.hostBits where isSuperset(of: bit.offloads) { features |= bit.feature }
    return features
  }
}
