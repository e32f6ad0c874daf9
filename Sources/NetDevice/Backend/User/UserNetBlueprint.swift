public import Logging
public import Platform
public import Virtio

/// What a network card in the user's own network is made of: its configuration, and a socket to passt.
public struct UserNetBlueprint: NetworkCard {
  /// A network card of the user's own network.
  public static var kind: String { "user_net" }

  private let mac: MACAddress
  private let mtu: Int?
  private let limits: RateLimits
  private let socket: DescriptorBox

  /// Starts passt.
  ///
  /// - Throws: `NetConfigurationError`, `PasstError`, or `SystemError` where there is no randomness for an address.
  public init(_ configuration: NetConfiguration) throws {
    try configuration.validate()
    guard case .user(let forwards) = configuration.attachment else { throw PasstError.refused("the network is another") }
    mac = try configuration.mac ?? MACAddress.random()
    mtu = configuration.mtu
    limits = configuration.limits
    socket = try Passt.start(forwards: forwards, mtu: mtu)
  }

  /// The socket.
  public var descriptors: [Int32] { [socket.number] }

  /// The configuration.
  public func encode(to writer: inout ByteWriter) {
    writer.put(mac.rawValue)
    writer.put(UInt16(clamping: mtu ?? 0))
    writer.put(limits.requests)
    writer.put(limits.bytes)
  }

  /// Takes a socket that another process made.
  public init(from reader: inout ByteReader, descriptors: DescriptorList) throws {
    mac = MACAddress(rawValue: try reader.get())
    let mtu = Int(try reader.get(UInt16.self))
    self.mtu = NetConfiguration.mtus.contains(mtu) ? mtu : nil
    var limits = RateLimits()
    limits.requests = try reader.getRate()
    limits.bytes = try reader.getRate()
    self.limits = limits
    socket = try descriptors.next()
  }

  /// Makes the card.
  public func build(logger: Logger) throws -> any VirtioDevice {
    NetDevice(mac: mac, mtu: mtu.map { UInt16(clamping: $0) }, backend: try StreamBackend(socket), limits: limits, logger: logger)
  }
}
