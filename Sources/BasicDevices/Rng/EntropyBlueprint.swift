public import Logging
public import Platform
public import Virtio

/// What an entropy device is made of: the kernel has the random bytes.
public struct EntropyBlueprint: DeviceBlueprint {
  /// A source of randomness.
  public static var kind: String { "rng" }

  private let configuration: EntropyConfiguration

  /// Needs nothing of the host.
  public init(_ configuration: EntropyConfiguration = EntropyConfiguration()) { self.configuration = configuration }

  /// None.
  public var descriptors: [Int32] { [] }

  /// The configuration.
  public func encode(to writer: inout ByteWriter) { writer.put(configuration.bytesPerSecond) }

  /// Takes over a configuration.
  public init(from reader: inout ByteReader, descriptors: DescriptorList) throws {
    configuration = EntropyConfiguration(bytesPerSecond: try reader.get())
  }

  /// Makes the device.
  public func build(logger: Logger) throws -> any VirtioDevice { EntropyDevice(configuration) }
}
