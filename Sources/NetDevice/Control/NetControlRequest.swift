public import Virtio

/// An order of the driver on the control queue, understood and checked (virtio 1.2, section 5.1.6.5).
public enum NetControlRequest: Equatable, Sendable {
  /// Switch one of the ways to receive more, or less, than what is addressed to the card.
  case receive(ReceiveMode, isOn: Bool)
  /// Receive what is addressed to one of these, besides the card's own address; `nil` where there are more than the device keeps.
  case filter(unicast: [MACAddress]?, groups: [MACAddress]?)
  /// Have this address.
  case address(MACAddress)
  /// Receive, or do not receive, frames of this VLAN, 0...4095.
  case vlan(UInt16, isReceived: Bool)
  /// The driver has told the network of itself.
  case announced
  /// Use so many pairs of queues, from 1.
  case pairs(UInt16)
  /// From now on the driver takes this.
  case offloads(UInt64)

  /// What of the traffic is received (sections 5.1.6.5.1 and 5.1.6.5.2); the values are the commands'.
  public enum ReceiveMode: UInt8, Sendable, CaseIterable {
    /// Everything.
    case promiscuous = 0
    /// All groups.
    case allGroups = 1
    /// All single cards.
    case allUnicast = 2
    /// No groups but all stations.
    case noGroups = 3
    /// No single card.
    case noUnicast = 4
    /// Nothing that is for all stations.
    case noBroadcast = 5
  }

  /// How many addresses of each kind are kept for `filter`; with more, all of that kind are received.
  public static let addressLimit = 64

  /// What a driver accepted and a device has, by which orders are measured.
  public struct Rules: Sendable {
    /// The accepted features.
    public var features: UInt64
    /// The most pairs of queues.
    public var pairLimit: UInt16

    /// Gathers the rules.
    public init(features: UInt64, pairLimit: UInt16) {
      self.features = features
      self.pairLimit = pairLimit
    }
  }

  private enum Class {
    static let receive: UInt8 = 0
    static let mac: UInt8 = 1
    static let vlan: UInt8 = 2
    static let announce: UInt8 = 3
    static let multipleQueues: UInt8 = 4
    static let guestOffloads: UInt8 = 5
  }

  /// Understands an order; `nil` for one that is malformed, or that the driver did not say it would give.
  ///
  /// Reads each byte once, and never more than the addresses that are kept.
  public init?(_ chain: DescriptorChain, rules: Rules) {
    var reader = ChainReader(chain)
    guard let kind = try? reader.read(UInt8.self), let command = try? reader.read(UInt8.self) else { return nil }
    let has = { (feature: UInt64) in rules.features & feature != 0 }
    switch (kind, command) {
    case (Class.receive, _) where has(command > 1 ? NetFeatures.controlReceiveExtra : NetFeatures.controlReceive):
      guard let mode = ReceiveMode(rawValue: command), let isOn = NetControlRequest.last(UInt8.self, &reader) else { return nil }
      self = .receive(mode, isOn: isOn != 0)
    case (Class.mac, 0) where has(NetFeatures.controlReceive):
      guard let unicast = NetControlRequest.addresses(&reader), let groups = NetControlRequest.addresses(&reader), reader.remaining == 0
      else { return nil }
      self = .filter(unicast: unicast.list, groups: groups.list)
    case (Class.mac, 1) where has(NetFeatures.controlMAC):
      guard reader.remaining == UInt64(MACAddress.size), let bytes = try? reader.readBytes(MACAddress.size),
        let address = MACAddress(bytes), address.isUsable
      else { return nil }
      self = .address(address)
    case (Class.vlan, 0...1) where has(NetFeatures.controlVLAN):
      guard let vlan = NetControlRequest.last(UInt16.self, &reader), vlan < 4096 else { return nil }
      self = .vlan(vlan, isReceived: command == 0)
    case (Class.announce, 0) where has(NetFeatures.guestAnnounce):
      self = .announced
    case (Class.multipleQueues, 0) where has(NetFeatures.multipleQueues):
      guard let pairs = NetControlRequest.last(UInt16.self, &reader), pairs > 0, pairs <= rules.pairLimit else { return nil }
      self = .pairs(pairs)
    case (Class.guestOffloads, 0) where has(NetFeatures.controlGuestOffloads):
      guard let offloads = NetControlRequest.last(UInt64.self, &reader),
        offloads & ~(rules.features & NetFeatures.guestOffloads) == 0
      else { return nil }
      self = .offloads(offloads)
    default: return nil
    }
  }

  /// A number that is all that is left.
  private static func last<T: FixedWidthInteger & UnsignedInteger>(_ type: T.Type, _ reader: inout ChainReader) -> T? {
    guard reader.remaining == UInt64(T.bitWidth / 8) else { return nil }
    return try? reader.read(type)
  }

  /// A list of the driver's.
  private enum Addresses {
    case kept([MACAddress])
    case tooMany

    var list: [MACAddress]? { if case .kept(let list) = self { list } else { nil } }
  }

  /// Reads a count and as many addresses; those beyond the limit are passed over, and none is kept then.
  private static func addresses(_ reader: inout ChainReader) -> Addresses? {
    guard let count = try? reader.read(UInt32.self), UInt64(count) * UInt64(MACAddress.size) <= reader.remaining else { return nil }
    guard count <= UInt32(addressLimit) else {
      guard (try? reader.skip(UInt64(count) * UInt64(MACAddress.size))) != nil else { return nil }
      return .tooMany
    }
    guard let bytes = try? reader.readBytes(Int(count) * MACAddress.size) else { return nil }
    let starts = stride(from: 0, to: bytes.count, by: MACAddress.size)
    return .kept(starts.compactMap { MACAddress(bytes[$0..<$0 + MACAddress.size]) })
  }
}
