public import Platform

/// What the user sets for one network card of the guest.
public struct NetConfiguration: Sendable, Equatable {
  /// Which network of the host the card is in.
  public enum Attachment: Sendable, Equatable {
    /// A tap that exists.
    case tap(name: String)
    /// A tap that another program has opened for us: a descriptor of this process.
    case descriptor(Int32)
    /// A tap of the machine's own, on which the host has this address.
    case host(address: IPv4Address, netmask: IPv4Address)
    /// What the user's own programs reach, by passt, without privileges; with ports of the host that lead to the guest.
    case user(forwards: [PortForward])
  }

  /// Where frames go to and come from.
  public var attachment: Attachment

  /// The card's address; made up where it is `nil`.
  public var mac: MACAddress?

  /// How many pairs of queues there are, 1 to 16: each has a thread.
  public var pairCount: Int

  /// Whether the packed ring layout is offered beside the split one.
  public var usesPackedQueue: Bool

  /// The largest packet in bytes that the guest is told to send, 68 to 65535; that of the tap where it is `nil`.
  public var mtu: Int?

  /// Whether the host's kernel serves the queues (vhost-net).
  public var usesKernel: Bool

  /// How many frames and bytes may go each way.
  public var limits: RateLimits

  /// Makes the configuration of a card with the defaults of the command line.
  public init(_ attachment: Attachment) {
    self.attachment = attachment
    mac = nil
    pairCount = NetConfiguration.defaultPairCount
    usesPackedQueue = false
    mtu = nil
    usesKernel = false
    limits = RateLimits()
  }

  /// How many pairs of queues a card may have.
  public static let pairCounts = 1...16

  /// The number of pairs of queues where the user names none.
  public static let defaultPairCount = 1

  /// The number of descriptors of each queue.
  static let queueSize: UInt16 = 256

  /// The number of descriptors of the control queue.
  static let controlQueueSize: UInt16 = 64

  /// How large the largest packet may be, in bytes (virtio 1.2, section 5.1.4.1).
  public static let mtus = 68...65535

  /// The longest name of a network interface, in bytes.
  public static let nameLimit = 15

  /// Checks every value on its own; looks at nothing of the host.
  ///
  /// - Throws: The first thing that is wrong.
  public func validate() throws(NetConfigurationError) {
    switch attachment {
    case .tap(let name): guard NetConfiguration.isName(name) else { throw .name(name) }
    case .descriptor(let number): guard number > 2 else { throw .descriptor(number) }
    case .host(let address, let netmask):
      guard netmask.isNetmask else { throw .netmask(netmask) }
      guard address.isUsable(netmask: netmask) else { throw .address(address) }
    case .user(let forwards):
      guard pairCount == 1 else { throw .userPairs(pairCount) }
      guard !usesKernel else { throw .kernelWithUser }
      // Whatever the addresses: passt has one place for each port.
      for (index, forward) in forwards.enumerated() {
        guard !forwards[..<index].contains(where: { $0.transport == forward.transport && $0.hostPort == forward.hostPort }) else {
          throw .forwardedTwice(forward.hostPort)
        }
      }
    }
    if let mac {
      guard mac.isUsable else { throw .mac(mac) }
    }
    guard NetConfiguration.pairCounts.contains(pairCount) else { throw .pairCount(pairCount) }
    if let mtu {
      guard NetConfiguration.mtus.contains(mtu) else { throw .mtu(mtu) }
    }
    guard !usesKernel || !usesPackedQueue else { throw .kernelWithPackedQueue }
    guard !usesKernel || limits.isEmpty else { throw .kernelWithLimits }
  }

  /// Whether a text can be the name of a network interface.
  public static func isName(_ text: String) -> Bool {
    (1...nameLimit).contains(text.utf8.count) && text != "." && text != ".."
      && text.utf8.allSatisfy {
        (0x21...0x7e).contains($0) && $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: ":") && $0 != UInt8(ascii: "%")
      }
  }
}

/// What is wrong with a `NetConfiguration`.
public enum NetConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
  /// No interface can have this name.
  case name(String)
  /// The descriptor is negative, or one of the standard streams.
  case descriptor(Int32)
  /// The netmask is not ones followed by zeroes.
  case netmask(IPv4Address)
  /// No host can have this address.
  case address(IPv4Address)
  /// No card can have this address.
  case mac(MACAddress)
  /// There are too few or too many pairs of queues.
  case pairCount(Int)
  /// The largest packet is too small or too large.
  case mtu(Int)
  /// The user's own network has one pair of queues.
  case userPairs(Int)
  /// A port of the host is forwarded to two places, or at two addresses.
  case forwardedTwice(UInt16)
  /// The kernel knows no packed rings.
  case kernelWithPackedQueue
  /// The kernel serves taps only.
  case kernelWithUser
  /// The kernel keeps to no limits.
  case kernelWithLimits

  /// One line: what is wrong, with the value, and what to give instead.
  public var description: String {
    switch self {
    case .name(let name):
      "the tap name \(name.debugDescription) is not possible; give 1 to \(NetConfiguration.nameLimit) ASCII characters without /, : and %"
    case .descriptor(let number): "the descriptor \(number) is not possible; give that of an open tap, from 3"
    case .netmask(let mask): "the netmask \(mask) is not possible; give one like 255.255.255.0"
    case .address(let address):
      "the host address \(address) is not that of a host in its network; give one like 10.0.0.1, and its netmask"
    case .mac(let mac): "the MAC address \(mac) is that of a group, or zero; give one whose first byte is even, like 02:00:00:00:00:01"
    case .pairCount(let count): "\(count) pairs of queues are not possible; give 1 to \(NetConfiguration.pairCounts.upperBound)"
    case .kernelWithPackedQueue: "the kernel's vhost-net has no packed rings; give vhost-net or packed-queue, not both"
    case .kernelWithLimits: "the kernel's vhost-net keeps to no limits; give vhost-net, or bandwidth and pps, not both"
    case .kernelWithUser: "the kernel's vhost-net serves taps only; give vhost-net or user, not both"
    case .mtu(let mtu):
      "an MTU of \(mtu) is not possible; give \(NetConfiguration.mtus.lowerBound) to \(NetConfiguration.mtus.upperBound)"
    case .userPairs(let count): "the network \"user\" has one pair of queues, not \(count); leave vq-pairs out"
    case .forwardedTwice(let port):
      "the host's port \(port) is forwarded twice, and passt listens at a port once, at one address or at all; give another port"
    }
  }
}
