/// Where the fields of the configuration space are (virtio 1.2, section 5.1.4), in bytes.
enum NetLayout {
  static let mac = 0
  static let status = 6
  static let pairLimit = 8
  static let mtu = 10
  static let size = 12

  /// VIRTIO_NET_S_LINK_UP.
  static let linkUp: UInt16 = 1
  /// VIRTIO_NET_S_ANNOUNCE.
  static let announce: UInt16 = 2
}

/// Why a network device of the guest cannot be made or restored.
public enum NetDeviceError: Error, Equatable, Sendable, CustomStringConvertible {
  /// A saved state does not belong to this device.
  case badState(String)
  /// The network has gone, and does not come back.
  case networkGone

  /// One line: what is wrong.
  public var description: String {
    switch self {
    case .networkGone: "the network behind the card has gone"
    case .badState(let reason): "the saved state of a network device cannot be used: \(reason)"
    }
  }
}
