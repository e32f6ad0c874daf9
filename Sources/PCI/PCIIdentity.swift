/// The fixed numbers by which a driver finds a device (PCI 3.0, section 6.2.1).
public struct PCIIdentity: Hashable, Sendable {
  /// Who made it.
  public var vendor: UInt16
  /// Which of the vendor's devices it is.
  public var device: UInt16
  /// The device's revision.
  public var revision: UInt8
  /// Base class in bits 16...23, subclass in 8...15, programming interface in 0...7.
  public var classCode: UInt32
  /// Who made the board.
  public var subsystemVendor: UInt16
  /// Which of that vendor's boards it is.
  public var subsystem: UInt16

  /// Gathers the numbers; bits of `classCode` above 23 are ignored.
  public init(
    vendor: UInt16, device: UInt16, revision: UInt8 = 0, classCode: UInt32, subsystemVendor: UInt16 = 0, subsystem: UInt16 = 0
  ) {
    self.vendor = vendor
    self.device = device
    self.revision = revision
    self.classCode = classCode
    self.subsystemVendor = subsystemVendor
    self.subsystem = subsystem
  }
}
