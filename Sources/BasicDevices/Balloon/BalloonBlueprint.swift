public import Logging
public import Platform
public import Virtio

/// What a balloon is made of: nothing but the guest's memory.
public struct BalloonBlueprint: DeviceBlueprint {
  /// A memory balloon.
  public static var kind: String { "balloon" }

  /// Needs nothing of the host.
  public init() {}

  /// None.
  public var descriptors: [Int32] { [] }

  /// Nothing is set.
  public func encode(to writer: inout ByteWriter) {}

  /// Nothing is set.
  public init(from reader: inout ByteReader, descriptors: DescriptorList) throws {}

  /// Makes the balloon.
  public func build(logger: Logger) throws -> any VirtioDevice { BalloonDevice(logger: logger) }
}
