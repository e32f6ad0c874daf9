internal import CLinux

/// Why a processor stopped running the guest.
public enum VirtualCPUExit: Equatable, Sendable {
  /// The guest loads `count` elements from a port; answer with `setPortData`, then enter again.
  case portRead(port: UInt16, width: Int, count: Int)
  /// The guest stores `count` elements to a port; fetch them with `portData`.
  case portWrite(port: UInt16, width: Int, count: Int)
  /// The guest loads from an address without memory; answer with `setMemoryData`, then enter again.
  case memoryRead(address: UInt64, width: Int)
  /// The guest stores to an address without memory.
  case memoryWrite(address: UInt64, width: Int, value: UInt64)
  /// The guest halted the processor and the kernel has no local APIC to wait with.
  case halted
  /// A triple fault, or a shutdown the guest asked for through its processor.
  case shutdown
  /// The guest asked the system to end: 1 shutdown, 2 reset, 3 crash.
  case systemEvent(UInt32)
  /// A message interrupt was acknowledged that the VMM's own IOAPIC wants to hear of.
  case endOfInterrupt(vector: UInt8)
  /// A signal arrived, or `requestExit` was called.
  case interrupted
  /// The hardware refused to enter the guest.
  case entryFailed(reason: UInt64)
  /// The kernel could not go on, for instance because it cannot emulate an instruction.
  case internalError(code: UInt32)
  /// A reason this VMM does not know.
  case unknown(reason: UInt32)

  /// Reads the reason from the page shared with the kernel, field by field: the structure is large.
  init(_ run: UnsafePointer<kvm_run>) {
    self =
      switch unsafe Int32(run.pointee.exit_reason) {
      case KVM_EXIT_IO: unsafe Self.port(run)
      case KVM_EXIT_MMIO: unsafe Self.memory(run)
      case KVM_EXIT_HLT: .halted
      case KVM_EXIT_SHUTDOWN: .shutdown
      case KVM_EXIT_SYSTEM_EVENT: unsafe .systemEvent(run.pointee.system_event.type)
      case KVM_EXIT_IOAPIC_EOI: unsafe .endOfInterrupt(vector: run.pointee.eoi.vector)
      case KVM_EXIT_INTR: .interrupted
      case KVM_EXIT_FAIL_ENTRY: unsafe .entryFailed(reason: run.pointee.fail_entry.hardware_entry_failure_reason)
      case KVM_EXIT_INTERNAL_ERROR: unsafe .internalError(code: run.pointee.internal.suberror)
      default: unsafe .unknown(reason: run.pointee.exit_reason)
      }
  }

  private static func port(_ run: UnsafePointer<kvm_run>) -> VirtualCPUExit {
    let (port, width, count) = unsafe (run.pointee.io.port, Int(run.pointee.io.size), Int(run.pointee.io.count))
    if unsafe Int32(run.pointee.io.direction) == KVM_EXIT_IO_IN { return .portRead(port: port, width: width, count: count) }
    return .portWrite(port: port, width: width, count: count)
  }

  private static func memory(_ run: UnsafePointer<kvm_run>) -> VirtualCPUExit {
    let (address, width) = unsafe (run.pointee.mmio.phys_addr, Int(run.pointee.mmio.len))
    guard unsafe run.pointee.mmio.is_write != 0 else { return .memoryRead(address: address, width: width) }
    let bytes = unsafe run.pointee.mmio.data
    var value = UInt64(littleEndian: unsafe unsafeBitCast(bytes, to: UInt64.self))
    if width < 8 { value &= (1 << UInt64(8 * width)) - 1 }
    return .memoryWrite(address: address, width: width, value: value)
  }
}
