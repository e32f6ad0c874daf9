public import Platform

/// A level-triggered line between a device and the interrupt controller, shared with other devices or not (PCI INTx).
///
/// The controller is in the kernel or elsewhere in the VMM; both ends see only events. A device calls `signal` to raise the line.
/// When the guest has acknowledged the interrupt the line falls and `resample` is signalled: a device that still has a reason raises again.
public final class LevelInterrupt: Sendable {
  /// Raises the line when signalled (the trigger of an irqfd).
  public let trigger: EventFD
  /// Is signalled after each acknowledgement (the resample event of an irqfd).
  public let resample: EventFD
  private let connection = LazyConnection()

  /// Makes the pair of events; the machine attaches them to its interrupt controller.
  public init() throws(SystemError) {
    trigger = try EventFD()
    resample = try EventFD()
  }

  /// Takes a pair of events that another process made, which attaches them.
  public init(trigger: EventFD, resample: EventFD) {
    self.trigger = trigger
    self.resample = resample
  }

  /// Raises the line. From any thread.
  public func signal() {
    connection.establish()
    trigger.signal()
  }

  /// Attaches the events to the interrupt controller without a signal of ours: another process signals them.
  public func attach() { connection.establish() }

  /// Sets what attaches the events to an interrupt controller: called once, when the device first signals; before it runs.
  public func onFirstSignal(_ attach: @escaping @Sendable () -> Void) { connection.set(attach) }
}

/// An edge-triggered line of an ISA device: one signal, one interrupt.
public final class EdgeInterrupt: Sendable {
  /// Raises the interrupt when signalled.
  public let trigger: EventFD
  private let connection = LazyConnection()

  /// Makes the event; the machine attaches it to its interrupt controller.
  public init() throws(SystemError) { trigger = try EventFD() }

  /// Raises the interrupt. From any thread.
  public func signal() {
    connection.establish()
    trigger.signal()
  }

  /// Sets what attaches the event to an interrupt controller: called once, when the device first signals; before it runs.
  public func onFirstSignal(_ attach: @escaping @Sendable () -> Void) { connection.set(attach) }
}
