public import Logging
public import Platform
internal import Vhost
public import Virtio

/// What a network card is made of whose queues the host's kernel serves: as `NetBlueprint`, and the kernel's device for each pair.
public struct KernelNetBlueprint: NetworkCard {
  /// A network card of the kernel.
  public static var kind: String { "vhost_net" }

  private let card: NetBlueprint
  private let kernels: [DescriptorBox]

  /// Where the kernel's device is.
  private static let path = "/dev/vhost-net"

  /// Opens the tap that a configuration names, and the kernel's device for each pair of queues.
  ///
  /// - Throws: As `NetBlueprint`, or `VhostError`.
  public init(_ configuration: NetConfiguration) throws {
    card = try NetBlueprint(configuration)
    kernels = try (0..<configuration.pairCount).map { _ in
      let device = try VhostDevice(path: KernelNetBlueprint.path)
      // Its descriptor is closed with it.
      return try withExtendedLifetime(device) { DescriptorBox(try OwnedDescriptor.duplicate(device.number)) }
    }
  }

  /// As of the tap.
  public var warnings: [String] { card.warnings }

  /// The tap's queues, then the kernel's devices.
  public var descriptors: [Int32] { card.descriptors + kernels.map(\.number) }

  /// The configuration.
  public func encode(to writer: inout ByteWriter) { card.encode(to: &writer) }

  /// Takes what another process opened.
  public init(from reader: inout ByteReader, descriptors: DescriptorList) throws {
    card = try NetBlueprint(from: &reader, descriptors: descriptors)
    kernels = try card.descriptors.map { _ throws(MalformedBytes) in try descriptors.next() }
  }

  /// Makes the card: this process is the one whose memory the kernel works on.
  public func build(logger: Logger) throws -> any VirtioDevice {
    let devices = try kernels.map { kernel in
      // A second descriptor of the same device, for a blueprint is a value.
      let device = VhostDevice(try OwnedDescriptor.duplicate(kernel.number))
      try device.setOwner()
      return device
    }
    return try card.build(kernels: devices, logger: logger)
  }
}
