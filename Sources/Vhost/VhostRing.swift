public import GuestMemory
public import Platform

/// A ring that the kernel shall serve. Only split rings: the kernel knows no others.
public struct VhostRing: Sendable {
  /// The number of descriptors.
  public var size: UInt16
  /// The available entry that the kernel takes first.
  public var nextAvailable: UInt16
  /// The descriptor table (virtio 1.2, section 2.7).
  public var descriptors: GuestSlice
  /// The available ring.
  public var driver: GuestSlice
  /// The used ring.
  public var device: GuestSlice
  /// Signalled when the driver has made buffers available.
  public var kick: EventFD
  /// What the kernel signals when the driver is to be interrupted; lent while the kernel serves the ring.
  public var call: Int32
  /// What the kernel signals when it does not understand the ring; lent likewise. `nil` for nothing.
  public var error: Int32?

  /// Gathers what the kernel needs to know.
  public init(
    size: UInt16, nextAvailable: UInt16 = 0, descriptors: GuestSlice, driver: GuestSlice, device: GuestSlice, kick: EventFD, call: Int32,
    error: Int32? = nil
  ) {
    self.size = size
    self.nextAvailable = nextAvailable
    self.descriptors = descriptors
    self.driver = driver
    self.device = device
    self.kick = kick
    self.call = call
    self.error = error
  }
}
