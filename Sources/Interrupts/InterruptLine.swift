public import Platform

/// A level-triggered line between a device and the interrupt controller, shared with other devices or not (PCI INTx).
///
/// The controller is in the kernel or elsewhere in the VMM; both ends see only events. A device signals `trigger` to raise the line.
/// When the guest has acknowledged the interrupt the line falls and `resample` is signalled: a device that still has a reason raises again.
public final class LevelInterrupt: Sendable {
  /// Raises the line when signalled (the trigger of an irqfd).
  public let trigger: EventFD
  /// Is signalled after each acknowledgement (the resample event of an irqfd).
  public let resample: EventFD

  /// Makes the pair of events; the machine attaches them to its interrupt controller.
  public init() throws(SystemError) {
    trigger = try EventFD()
    resample = try EventFD()
  }
}

/// An edge-triggered line of an ISA device: one signal, one interrupt.
public final class EdgeInterrupt: Sendable {
  /// Raises the interrupt when signalled.
  public let trigger: EventFD

  /// Makes the event; the machine attaches it to its interrupt controller.
  public init() throws(SystemError) { trigger = try EventFD() }
}
