public import Logging
public import Platform

/// Everything that a device is made of, as a value that can go to another process: what the user set, and open descriptors.
///
/// Whoever makes one has opened what the device needs; building the device opens nothing.
public protocol DeviceBlueprint: Sendable {
  /// What kind of device this is, which is also the name of its system-call policy: `block`.
  static var kind: String { get }

  /// The descriptors that the device gets, lent; they are given back to `init` in this order.
  var descriptors: [Int32] { get }

  /// How many requests each ring (io_uring) that the device uses may have in flight; the rings are given back to `init` in this order.
  var rings: [Int] { get }

  /// The beginnings of paths: a process outside connects Unix sockets for the device, of paths that begin so and end in a decimal number
  /// (`ConnectorRequest`). The device's ends of the connections to those processes are given back to `init` after `descriptors`.
  var connectors: [String] { get }

  /// How many descriptors the device may have open beyond what every device needs.
  var extraDescriptors: Int { get }

  /// The bytes of memory that the device may take beyond what every device may.
  var extraMemory: UInt64 { get }

  /// Writes everything else.
  func encode(to writer: inout ByteWriter)

  /// Reads what `encode` wrote.
  ///
  /// - Throws: When it is not that.
  init(from reader: inout ByteReader, descriptors: DescriptorList) throws

  /// Makes the device. Called once.
  func build(logger: Logger) throws -> any VirtioDevice
}

extension DeviceBlueprint {
  /// None.
  public var rings: [Int] { [] }
  /// None.
  public var connectors: [String] { [] }
  /// None.
  public var extraDescriptors: Int { 0 }
  /// None.
  public var extraMemory: UInt64 { 0 }
}

/// Descriptors and rings that came with a blueprint, to be taken one after the other.
public final class DescriptorList {
  private var rest: ArraySlice<DescriptorBox>
  private var rings: ArraySlice<Handover<IOUring>>

  /// Begins with the first of each.
  public init(_ descriptors: [DescriptorBox], rings: [Handover<IOUring>] = []) {
    rest = descriptors[...]
    self.rings = rings[...]
  }

  /// Takes the next ring, which may be none: see `IOUring.reserve`.
  public func nextRing() throws(MalformedBytes) -> Handover<IOUring> {
    guard let next = rings.popFirst() else { throw MalformedBytes("a ring is missing") }
    return next
  }

  /// Takes the next one.
  public func next() throws(MalformedBytes) -> DescriptorBox {
    guard let next = rest.popFirst() else { throw MalformedBytes("a descriptor is missing") }
    return next
  }

  /// Takes the next one out of its box.
  public func nextOwned() throws(MalformedBytes) -> OwnedDescriptor {
    guard let descriptor = try next().take() else { throw MalformedBytes("a descriptor is missing") }
    return descriptor
  }
}
