internal import Platform

/// Which frames a driver wants (virtio 1.2, sections 5.1.6.5.1 to 5.1.6.5.3). At first it gets everything.
struct ReceiveFilter: Equatable, Sendable {
  /// The card's own address.
  var mac: MACAddress
  /// The switches that are on.
  private var modes: Set<NetControlRequest.ReceiveMode> = [.promiscuous]
  /// Other addresses of single cards, and of groups; `nil` where all of them are received.
  private var unicast: Set<UInt64>? = []
  private var groups: Set<UInt64>? = []
  /// A bit for each VLAN that is received.
  private var vlans: [UInt64]

  /// A filter that lets everything through.
  ///
  /// - Parameter filtersVLANs: Whether the driver will say which VLANs it wants; else it gets all.
  init(mac: MACAddress, filtersVLANs: Bool = false) {
    self.mac = mac
    vlans = [UInt64](repeating: filtersVLANs ? 0 : .max, count: 64)
  }

  mutating func set(_ mode: NetControlRequest.ReceiveMode, _ isOn: Bool) {
    if isOn { modes.insert(mode) } else { modes.remove(mode) }
  }

  mutating func set(unicast: [MACAddress]?, groups: [MACAddress]?) {
    self.unicast = unicast.map { Set($0.map(\.rawValue)) }
    self.groups = groups.map { Set($0.map(\.rawValue)) }
  }

  /// - Parameter vlan: 0...4095.
  mutating func set(vlan: UInt16, isReceived: Bool) {
    let bit: UInt64 = 1 << UInt64(vlan & 63)
    let word = Int(vlan >> 6) & 63
    vlans[word] = isReceived ? vlans[word] | bit : vlans[word] & ~bit
  }

  /// Whether every frame is wanted, so that none need be looked at.
  var acceptsAll: Bool { modes.contains(.promiscuous) }

  /// Whether a frame is wanted.
  ///
  /// - Parameters:
  ///   - destination: Its first six bytes.
  ///   - vlan: The number in its tag; `nil` where it has none.
  func accepts(_ destination: MACAddress, vlan: UInt16?) -> Bool {
    if acceptsAll { return true }
    // Number 0 is no VLAN: such a tag gives a priority only.
    if let vlan, vlan != 0, vlans[Int(vlan >> 6) & 63] & 1 << UInt64(vlan & 63) == 0 { return false }
    if destination == .broadcast { return !modes.contains(.noBroadcast) }
    if destination.isGroup {
      guard !modes.contains(.noGroups) else { return false }
      return modes.contains(.allGroups) || (groups?.contains(destination.rawValue) ?? true)
    }
    guard !modes.contains(.noUnicast) else { return false }
    return modes.contains(.allUnicast) || destination == mac || (unicast?.contains(destination.rawValue) ?? true)
  }
}

// MARK: Saved state

extension ReceiveFilter {
  func encode(to writer: inout ByteWriter) {
    writer.put(mac.rawValue)
    writer.put(NetControlRequest.ReceiveMode.allCases.reduce(UInt8(0)) { $0 | (modes.contains($1) ? 1 << $1.rawValue : 0) })
    for list in [unicast, groups] {
      writer.put(list != nil)
      writer.put(UInt8(clamping: list?.count ?? 0))
      for address in (list ?? []).sorted() { writer.put(address) }
    }
    for word in vlans { writer.put(word) }
  }

  init(from reader: inout ByteReader) throws(MalformedBytes) {
    let mac = MACAddress(rawValue: try reader.get())
    self.init(mac: mac)
    let bits = try reader.get(UInt8.self)
    modes = Set(NetControlRequest.ReceiveMode.allCases.filter { bits & 1 << $0.rawValue != 0 })
    unicast = try ReceiveFilter.list(&reader)
    groups = try ReceiveFilter.list(&reader)
    for index in vlans.indices { vlans[index] = try reader.get() }
  }

  private static func list(_ reader: inout ByteReader) throws(MalformedBytes) -> Set<UInt64>? {
    let isKept = try reader.getBool()
    var list: Set<UInt64> = []
    for _ in 0..<(try reader.get(UInt8.self)) { list.insert(try reader.get()) }
    guard list.count <= NetControlRequest.addressLimit else { throw MalformedBytes("there are \(list.count) addresses in a filter") }
    return isKept ? list : nil
  }
}
