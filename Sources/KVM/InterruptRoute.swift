internal import CLinux

/// Where an interrupt number (GSI) leads.
public enum InterruptRoute: Hashable, Sendable {
  /// To an input of the master or slave PIC (`chip` 0 or 1) or of the IOAPIC (`chip` 2).
  case chip(line: UInt32, chip: UInt32, pin: UInt32)
  /// To a message.
  case message(line: UInt32, address: UInt64, data: UInt32)

  var entry: RouteEntry {
    switch self {
    case .chip(let line, let chip, let pin):
      RouteEntry(line: line, kind: UInt32(KVM_IRQ_ROUTING_IRQCHIP), target: (chip, pin, 0, 0))
    case .message(let line, let address, let data):
      RouteEntry(
        line: line, kind: UInt32(KVM_IRQ_ROUTING_MSI),
        target: (UInt32(truncatingIfNeeded: address), UInt32(truncatingIfNeeded: address >> 32), data, 0))
    }
  }
}

/// `struct kvm_irq_routing_entry` with its union spelt as the words that both kinds of route use; Swift does not count the imported
/// structure as bitwise copyable, because of the union.
struct RouteEntry: BitwiseCopyable {
  var line: UInt32
  var kind: UInt32
  var flags: UInt32 = 0
  var padding: UInt32 = 0
  var target: (UInt32, UInt32, UInt32, UInt32)
  var rest: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)
}
