public import Logging
public import Platform
public import Virtio

/// What a network card is made of: its configuration, and what is open of its network.
public struct NetBlueprint: DeviceBlueprint {
  /// A network card.
  public static var kind: String { "net" }

  private let mac: MACAddress
  private let mtu: Int?
  private let limits: RateLimits
  private let network: Network

  /// What is behind the card, open.
  private enum Network {
    case tap(queues: [DescriptorBox], offloads: NetOffloads)
    case stream(DescriptorBox)
  }

  /// Opens the tap that a configuration names, or starts passt.
  ///
  /// - Throws: `NetConfigurationError`, `TapError`, `PasstError`, or `SystemError` where there is no randomness for an address.
  public init(_ configuration: NetConfiguration) throws {
    try configuration.validate()
    mac = try configuration.mac ?? MACAddress.random()
    limits = configuration.limits
    if case .user(let forwards) = configuration.attachment {
      network = .stream(try Passt.start(forwards: forwards, mtu: configuration.mtu))
      mtu = configuration.mtu
    } else {
      let tap = try Tap.open(configuration)
      network = .tap(queues: tap.queues, offloads: tap.offloads)
      mtu = configuration.mtu ?? tap.mtu
    }
  }

  /// The tap's queues, or the socket.
  public var descriptors: [Int32] {
    switch network {
    case .tap(let queues, _): queues.map(\.number)
    case .stream(let socket): [socket.number]
    }
  }

  /// The configuration, and what is known of the tap.
  public func encode(to writer: inout ByteWriter) {
    writer.put(mac.rawValue)
    writer.put(UInt16(clamping: mtu ?? 0))
    writer.put(limits.requests)
    writer.put(limits.bytes)
    switch network {
    case .tap(let queues, let offloads):
      writer.put(UInt8(clamping: queues.count))
      writer.put(offloads.rawValue)
    case .stream: writer.put(UInt8(0))
    }
  }

  /// Takes a network that was opened by another process.
  public init(from reader: inout ByteReader, descriptors: DescriptorList) throws {
    mac = MACAddress(rawValue: try reader.get())
    let mtu = Int(try reader.get(UInt16.self))
    self.mtu = NetConfiguration.mtus.contains(mtu) ? mtu : nil
    var limits = RateLimits()
    limits.requests = try reader.getRate()
    limits.bytes = try reader.getRate()
    self.limits = limits
    let count = Int(try reader.get(UInt8.self))
    if count == 0 {
      network = .stream(try descriptors.next())
      return
    }
    guard NetConfiguration.pairCounts.contains(count) else { throw MalformedBytes("a network card has \(count) pairs of queues") }
    let offloads = NetOffloads(rawValue: try reader.get())
    network = .tap(queues: try (0..<count).map { _ throws(MalformedBytes) in try descriptors.next() }, offloads: offloads)
  }

  /// Makes the card.
  public func build(logger: Logger) throws -> any VirtioDevice {
    let backend: any NetBackend =
      switch network {
      case .tap(let queues, let offloads): TapBackend(queues: queues, offloads: offloads)
      case .stream(let socket): try StreamBackend(socket)
      }
    return NetDevice(mac: mac, mtu: mtu.map { UInt16(clamping: $0) }, backend: backend, limits: limits, logger: logger)
  }
}
