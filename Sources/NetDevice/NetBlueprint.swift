public import Logging
public import Platform
internal import Vhost
public import Virtio

/// What a network card is made of: its configuration, and the open queues of its tap.
public struct NetBlueprint: NetworkCard {
  /// A network card.
  public static var kind: String { "net" }

  private let mac: MACAddress
  private let mtu: Int?
  private let limits: RateLimits
  private let offloads: NetOffloads
  private let queues: [DescriptorBox]
  /// What the user should know of the tap; known to who opened it only.
  public let warnings: [String]

  /// Opens the tap that a configuration names.
  ///
  /// - Throws: `NetConfigurationError`, `TapError`, or `SystemError` where there is no randomness for an address.
  public init(_ configuration: NetConfiguration) throws {
    try configuration.validate()
    mac = try configuration.mac ?? MACAddress.random()
    limits = configuration.limits
    let tap = try Tap.open(configuration)
    mtu = configuration.mtu ?? tap.mtu
    offloads = tap.offloads
    queues = tap.queues
    warnings = tap.warnings
  }

  /// The tap's queues.
  public var descriptors: [Int32] { queues.map(\.number) }

  /// The configuration, and what is known of the tap.
  public func encode(to writer: inout ByteWriter) {
    writer.put(mac.rawValue)
    writer.put(UInt16(clamping: mtu ?? 0))
    writer.put(limits.requests)
    writer.put(limits.bytes)
    writer.put(offloads.rawValue)
    writer.put(UInt8(clamping: queues.count))
  }

  /// Takes a tap that was opened by another process.
  public init(from reader: inout ByteReader, descriptors: DescriptorList) throws {
    mac = MACAddress(rawValue: try reader.get())
    let mtu = Int(try reader.get(UInt16.self))
    self.mtu = NetConfiguration.mtus.contains(mtu) ? mtu : nil
    var limits = RateLimits()
    limits.requests = try reader.getRate()
    limits.bytes = try reader.getRate()
    self.limits = limits
    offloads = NetOffloads(rawValue: try reader.get())
    let count = Int(try reader.get(UInt8.self))
    guard NetConfiguration.pairCounts.contains(count) else { throw MalformedBytes("a network card has \(count) pairs of queues") }
    queues = try (0..<count).map { _ throws(MalformedBytes) in try descriptors.next() }
    warnings = []
  }

  /// Makes the card.
  public func build(logger: Logger) throws -> any VirtioDevice { try build(kernels: [], logger: logger) }

  /// Makes the card.
  ///
  /// - Parameter kernels: Who serves each pair of queues; none for threads of ours.
  func build(kernels: [VhostDevice], logger: Logger) throws -> NetDevice {
    let servers = zip(kernels, queues).map { KernelPair(kernel: $0, tap: $1) }
    // Whether frames fill several buffers is the kernel's to say.
    let kernelFeatures = try kernels.first?.features()
    return NetDevice(
      mac: mac, mtu: mtu.map { UInt16(clamping: $0) }, backend: TapBackend(queues: queues, offloads: offloads), limits: limits,
      kernel: kernelFeatures.map { NetDevice.Kernel(servers: servers, features: $0) }, logger: logger)
  }
}
