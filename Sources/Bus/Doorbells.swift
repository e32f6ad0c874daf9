/// Attaches events to guest writes, so that a doorbell wakes its device without an exit to the VMM (KVM_IOEVENTFD).
///
/// A device names the guest-physical address; when its BAR moves it detaches and attaches again.
public protocol DoorbellRegistrar: AnyObject, Sendable {
  /// From now on a write of any width to `address` signals the event behind the descriptor, and reaches no bus.
  func attach(event: Int32, at address: UInt64) throws
  /// Undoes `attach` with the same values.
  func detach(event: Int32, at address: UInt64) throws
}
