import CommandLine
import NetDevice
import Platform

/// The options that give the guest a network card.
enum NetOptions {
  /// What stands in the place of a tap's name for the network of the user's own programs.
  private static let user = "user"

  private static let forwards = Field(
    "forward", ValueType<[PortForward]>.list(of: .forward),
    "Of user: a port of the host that leads to one of the guest, like tcp:8080:80, udp:5353 for the same on both sides, tcp:127.0.0.1:2222:22 to listen at one address; several in brackets."
  )
  private static let tapName = Field(
    "tap-name", ValueType<String>.tapName,
    "A tap that exists, by its name; or user, for the network that this user's own programs reach: it needs passt, and no privileges.")
  private static let tapDescriptor = Field(
    "tap-fd", ValueType<Int>.integer(descriptors, "FD"),
    "A tap that is open already: a descriptor of this process from 3 on, opened with IFF_VNET_HDR.")
  private static let hostAddress = Field(
    "host-ip", ValueType<IPv4Address>.address, "Make a tap on which the host has this IPv4 address; needs the right to (CAP_NET_ADMIN).")
  private static let mask = Field("netmask", ValueType<IPv4Address>.netmask, "The mask of the network that host-ip is in.")
  private static let address = Field("mac", ValueType<MACAddress>.mac, "The card's address; made up unless given.")
  private static let pairs = Field(
    "vq-pairs", .integer(NetConfiguration.pairCounts), default: "1",
    "Number of pairs of queues, 1 to 16, each with a thread. A named tap must be made for it (multi_queue).")
  private static let packedQueue = Field("packed-queue", .boolean, default: "false", "Offer the packed ring layout too.")
  private static let vhost = Field(
    "vhost-net", .boolean, default: "false",
    "The host's kernel serves the queues (/dev/vhost-net): the fastest, with more kernel code facing the guest.")
  private static let mtu = Field(
    "mtu", .integer(NetConfiguration.mtus),
    "The largest packet that the guest is told to send, 68 to 65535 bytes; that of the tap unless given.")
  private static let bandwidth = Field("bandwidth", .size(.bytes, in: byteRates), "The most bytes a second, each way.")
  private static let frameRate = Field("pps", .integer(rates), "The most frames a second, each way.")

  private static let descriptors = 3...1_048_575
  private static let rates = 1...1_000_000_000
  private static let byteRates: ClosedRange<UInt64> = 1...(1 << 40)

  /// Fields of today's crosvm that ask for what there is not.
  private static let unavailable = ["mrg-rxbuf", "pci-address"]

  private static let fields = FieldTable(
    [
      tapName.description, forwards.description, tapDescriptor.description, hostAddress.description, mask.description,
      address.description, pairs.description, packedQueue.description, vhost.description, mtu.description, bandwidth.description,
      frameRate.description,
    ], unavailable: unavailable)

  static let net = Option(
    "net", .fields(fields) { fields throws(ValueError) in try card(fields) }, isRepeatable: true,
    "Add a network card. Give user, tap-name, tap-fd or host-ip.")

  static let tapFd = Option(
    "tap-fd", ValueType<Int>.integer(descriptors, "FD").map { NetConfiguration(.descriptor(Int32(clamping: $0))) }, isRepeatable: true,
    "The same as --net tap-fd=FD.")

  static let tapNameOption = Option(
    "tap-name", ValueType<String>.tapName.map { NetConfiguration(.tap(name: $0)) }, isRepeatable: true,
    "The same as --net tap-name=NAME, but that user is a tap, too.")

  static let hostIP = Option(
    "host-ip", ValueType<IPv4Address>.address, "The same as --net host-ip=ADDRESS, with --netmask and, perhaps, --mac.")

  static let netmask = Option("netmask", ValueType<IPv4Address>.netmask, "The netmask of --host-ip.")

  static let mac = Option("mac", ValueType<MACAddress>.mac, "The guest's MAC address in the network of --host-ip.")

  static let vhostNet = Flag("vhost-net", "Have the host's kernel serve the card of --host-ip (vhost-net).")

  private static func card(_ fields: Fields) throws(ValueError) -> NetConfiguration {
    var card = NetConfiguration(try attachment(fields))
    card.mac = try fields.value(address)
    card.pairCount = try fields.value(pairs) ?? card.pairCount
    card.usesPackedQueue = try fields.value(packedQueue) ?? card.usesPackedQueue
    card.usesKernel = try fields.value(vhost) ?? card.usesKernel
    card.mtu = try fields.value(mtu)
    card.limits.bytes = try fields.value(bandwidth).map { RateLimits.Rate(perSecond: $0) }
    card.limits.requests = try fields.value(frameRate).map { RateLimits.Rate(perSecond: UInt64(clamping: $0)) }
    return card
  }

  private static func attachment(_ fields: Fields) throws(ValueError) -> NetConfiguration.Attachment {
    var attachments: [NetConfiguration.Attachment] = []
    let (name, ports) = (try fields.value(tapName), try fields.value(forwards))
    if name == user {
      attachments.append(.user(forwards: ports ?? []))
    } else if let name {
      attachments.append(.tap(name: name))
    }
    if ports != nil, name != user {
      throw ValueError("forward means nothing without user", at: fields.position(of: forwards), remedy: "begin with user")
    }
    if let number = try fields.value(tapDescriptor) { attachments.append(.descriptor(Int32(clamping: number))) }
    let netmask = try fields.value(mask)
    if let address = try fields.value(hostAddress) {
      guard let netmask else {
        throw ValueError("host-ip needs a netmask", at: fields.position(of: hostAddress), remedy: "give netmask=255.255.255.0 or the like")
      }
      attachments.append(.host(address: address, netmask: netmask))
    } else if netmask != nil {
      throw ValueError("a netmask means nothing without host-ip", at: fields.position(of: mask), remedy: "give host-ip, too")
    }
    guard attachments.count == 1, let attachment = attachments.first else {
      throw ValueError(
        attachments.isEmpty ? "the card has no network" : "the card has several networks", at: 0,
        remedy: "give one of user, tap-name, tap-fd and host-ip")
    }
    return attachment
  }
}

extension RunCommand {
  /// The cards of all options: those of the older ones come last.
  static func networkCards(_ arguments: Arguments) throws(UsageError) -> [NetConfiguration] {
    var cards = try arguments.values(of: NetOptions.net, NetOptions.tapFd, NetOptions.tapNameOption)
    let address = try arguments.value(of: NetOptions.hostIP)
    let netmask = try arguments.value(of: NetOptions.netmask)
    let mac = try arguments.value(of: NetOptions.mac)
    if let address, let netmask {
      var card = NetConfiguration(.host(address: address, netmask: netmask))
      card.mac = mac
      card.usesKernel = arguments.contains(NetOptions.vhostNet)
      cards.append(card)
    } else if address != nil {
      throw UsageError(command: arguments.commandName, "--host-ip needs a netmask; give --netmask, too")
    } else if netmask != nil || mac != nil || arguments.contains(NetOptions.vhostNet) {
      let name = netmask != nil ? "--netmask" : mac != nil ? "--mac" : "--vhost-net"
      throw UsageError(command: arguments.commandName, "\(name) means nothing without --host-ip; give that, too, or use --net")
    }
    return cards
  }
}

extension ValueType where Value == String {
  /// The name of a network interface.
  fileprivate static var tapName: ValueType {
    let expected = "the name of a tap, 1 to \(NetConfiguration.nameLimit) ASCII characters without /, : and %"
    return ValueType(ValueShape("NAME", expected: expected)) { node throws(ValueError) in
      let text = try node.text(expected: expected)
      guard NetConfiguration.isName(text) else {
        throw ValueError("\(quoted(text)) is not possible", at: node.position, remedy: "give \(expected)")
      }
      return text
    }
  }
}

extension ValueType where Value == IPv4Address {
  /// An address of a host.
  fileprivate static var address: ValueType { parsed("ADDRESS", expected: "an IPv4 address in the form x.x.x.x") { _ in true } }

  /// The mask of a network.
  fileprivate static var netmask: ValueType {
    parsed("MASK", expected: "a netmask in the form x.x.x.x, like 255.255.255.0", isPossible: \.isNetmask)
  }

  private static func parsed(
    _ placeholder: String, expected: String, isPossible: @escaping @Sendable (IPv4Address) -> Bool
  ) -> ValueType {
    ValueType(ValueShape(placeholder, expected: expected)) { node throws(ValueError) in
      let text = try node.text(expected: expected)
      guard let address = IPv4Address(text), isPossible(address) else {
        throw ValueError("\(quoted(text)) is not possible", at: node.position, remedy: "give \(expected)")
      }
      return address
    }
  }
}

extension ValueType where Value == MACAddress {
  /// The address of one card.
  fileprivate static var mac: ValueType {
    let expected = "a MAC address of one card in the form XX:XX:XX:XX:XX:XX"
    return ValueType(ValueShape("MAC", expected: expected)) { node throws(ValueError) in
      let text = try node.text(expected: expected)
      guard let address = MACAddress(text), address.isUsable else {
        throw ValueError("\(quoted(text)) is not possible", at: node.position, remedy: "give \(expected)")
      }
      return address
    }
  }
}

extension ValueType where Value == PortForward {
  /// A port of the host that leads to one of the guest.
  fileprivate static var forward: ValueType {
    let expected =
      "a forwarded port like tcp:8080:80 (the host's, then the guest's), udp:53 or, with an IPv4 address of the host, tcp:127.0.0.1:8080:80"
    return ValueType(ValueShape("PORTS", expected: expected)) { node throws(ValueError) in
      let text = try node.text(expected: expected)
      guard let forward = PortForward(text) else {
        throw ValueError("\(quoted(text)) is not possible", at: node.position, remedy: "give \(expected)")
      }
      return forward
    }
  }
}
