public import CLinux
internal import Glibc
internal import Platform

/// One processor of a virtual machine. All calls but `requestExit` belong on the thread that runs it.
@safe public final class VirtualCPU: @unchecked Sendable {
  /// Closing a machine's descriptor detaches its interrupt events, even while processors run: so each of them keeps it.
  private let machine: VirtualMachine
  private let descriptor: OwnedDescriptor
  private let mapping: MemoryMapping
  /// The page that kernel and VMM share about this processor; valid while `mapping` lives.
  private let run: UnsafeMutablePointer<kvm_run>
  /// Its number, which on x86 is its APIC ID.
  public let identifier: Int

  init(machine: VirtualMachine, descriptor: consuming OwnedDescriptor, run mapping: MemoryMapping, identifier: Int) {
    self.machine = machine
    self.descriptor = descriptor
    self.mapping = mapping
    // KVM_GET_VCPU_MMAP_SIZE is at least the structure's size.
    unsafe run = mapping.base.assumingMemoryBound(to: kvm_run.self)
    self.identifier = identifier
  }

  // MARK: Running

  /// Runs the guest until something needs the VMM.
  public func enter() throws(KVMError) -> VirtualCPUExit {
    if clinux_ioctl_value(descriptor.number, clinux_KVM_RUN, 0) < 0 {
      let code = errno
      if code == EINTR || code == EAGAIN { return .interrupted }
      throw .request(SystemError("KVM_RUN", code: code))
    }
    return unsafe VirtualCPUExit(run)
  }

  /// Makes the present or next `enter` return `interrupted`; callable from any thread, followed by a signal to the processor's thread.
  ///
  /// What the caller looks at after it has taken a request back was not read before: else a request in between would be lost.
  public func requestExit(_ requested: Bool = true) {
    unsafe run.pointee.immediate_exit = requested ? 1 : 0
    if !requested { clinux_fence_full() }
  }

  /// Tells a guest with a paravirtual clock that it was held still for a while, so that its watchdogs forgive that (KVM_KVMCLOCK_CTRL).
  /// Does nothing to others.
  public func notePause() { _ = clinux_ioctl_value(descriptor.number, clinux_KVM_KVMCLOCK_CTRL, 0) }

  /// The bytes of one element of a port exit, least significant first.
  ///
  /// - Parameters:
  ///   - index: Which element of a string instruction, from 0.
  ///   - width: The element's width in bytes, as in the exit; zero is returned where there is no such element.
  public func portData(_ index: Int, width: Int) -> UInt64 {
    guard let slot = unsafe portSlot(index, width: width) else { return 0 }
    return unsafe loadBytes(slot, width)
  }

  /// Answers one element of a port load.
  public func setPortData(_ index: Int, width: Int, value: UInt64) {
    guard let slot = unsafe portSlot(index, width: width) else { return }
    unsafe storeBytes(slot, width, value)
  }

  private func portSlot(_ index: Int, width: Int) -> UnsafeMutableRawPointer? {
    let (size, count) = unsafe (Int(run.pointee.io.size), Int(run.pointee.io.count))
    guard unsafe Int32(run.pointee.exit_reason) == KVM_EXIT_IO, width == size, index >= 0, index < count else { return nil }
    // Cannot overflow: 64-bit sums and products of the kernel's 8- and 32-bit numbers.
    let offset = unsafe Int(run.pointee.io.data_offset) + index * width
    guard offset >= 0, offset + width <= mapping.count else { return nil }
    return unsafe mapping.base.advanced(by: offset)
  }

  /// Answers a memory load.
  public func setMemoryData(width: Int, value: UInt64) {
    unsafe withUnsafeMutablePointer(to: &run.pointee.mmio.data) { unsafe storeBytes(UnsafeMutableRawPointer($0), min(width, 8), value) }
  }

  // MARK: State

  /// The general registers.
  public func registers() throws(KVMError) -> kvm_regs {
    var value = kvm_regs()
    try kvmRequest(descriptor.number, clinux_KVM_GET_REGS, "KVM_GET_REGS", &value)
    return value
  }

  /// Sets the general registers.
  public func setRegisters(_ value: kvm_regs) throws(KVMError) {
    var value = value
    try kvmRequest(descriptor.number, clinux_KVM_SET_REGS, "KVM_SET_REGS", &value)
  }

  /// The segment, table and control registers.
  public func systemRegisters() throws(KVMError) -> kvm_sregs {
    var value = kvm_sregs()
    try kvmRequest(descriptor.number, clinux_KVM_GET_SREGS, "KVM_GET_SREGS", &value)
    return value
  }

  /// Sets the segment, table and control registers.
  public func setSystemRegisters(_ value: kvm_sregs) throws(KVMError) {
    var value = value
    try kvmRequest(descriptor.number, clinux_KVM_SET_SREGS, "KVM_SET_SREGS", &value)
  }

  /// Sets the floating-point and vector state.
  public func setFloatingPoint(_ value: kvm_fpu) throws(KVMError) {
    var value = value
    try kvmRequest(descriptor.number, clinux_KVM_SET_FPU, "KVM_SET_FPU", &value)
  }

  /// Sets what the CPUID instruction answers.
  public func setCPUID(_ entries: [kvm_cpuid_entry2]) throws(KVMError) {
    try kvmRequest(descriptor.number, clinux_KVM_SET_CPUID2, "KVM_SET_CPUID2", list: entries)
  }

  /// Sets model-specific registers.
  ///
  /// - Returns: The number set; the one after them was refused.
  @discardableResult
  public func setModelRegisters(_ values: [(index: UInt32, value: UInt64)]) throws(KVMError) -> Int {
    let entries = values.map { kvm_msr_entry(index: $0.index, reserved: 0, data: $0.value) }
    return try kvmRequest(descriptor.number, clinux_KVM_SET_MSRS, "KVM_SET_MSRS", list: entries).result
  }

  /// Reads one model-specific register; `nil` where the kernel does not know it.
  public func modelRegister(_ index: UInt32) throws(KVMError) -> UInt64? {
    let (result, entries) = try kvmRequest(
      descriptor.number, clinux_KVM_GET_MSRS, "KVM_GET_MSRS", list: [kvm_msr_entry(index: index, reserved: 0, data: 0)])
    return result == 1 ? entries[0].data : nil
  }

  /// The local APIC's registers.
  public func localAPIC() throws(KVMError) -> kvm_lapic_state {
    var value = kvm_lapic_state()
    try kvmRequest(descriptor.number, clinux_KVM_GET_LAPIC, "KVM_GET_LAPIC", &value)
    return value
  }

  /// Sets the local APIC's registers.
  public func setLocalAPIC(_ value: kvm_lapic_state) throws(KVMError) {
    var value = value
    try kvmRequest(descriptor.number, clinux_KVM_SET_LAPIC, "KVM_SET_LAPIC", &value)
  }

  /// Tells the guest's clock that the processor stood still, so that its watchdogs do not bark (KVM_KVMCLOCK_CTRL).
  public func noteClockPause() { _ = clinux_ioctl_value(descriptor.number, clinux_KVM_KVMCLOCK_CTRL, 0) }
}

private func loadBytes(_ source: UnsafeMutableRawPointer, _ width: Int) -> UInt64 {
  switch width {
  case 1: return unsafe UInt64(source.load(as: UInt8.self))
  case 2: return unsafe UInt64(UInt16(littleEndian: source.loadUnaligned(as: UInt16.self)))
  case 4: return unsafe UInt64(UInt32(littleEndian: source.loadUnaligned(as: UInt32.self)))
  default:
    var value: UInt64 = 0
    for byte in 0..<min(width, 8) { unsafe value |= UInt64(source.load(fromByteOffset: byte, as: UInt8.self)) << UInt64(8 * byte) }
    return value
  }
}

private func storeBytes(_ target: UnsafeMutableRawPointer, _ width: Int, _ value: UInt64) {
  switch width {
  case 1: unsafe target.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
  case 2: unsafe target.storeBytes(of: UInt16(truncatingIfNeeded: value).littleEndian, as: UInt16.self)
  case 4: unsafe target.storeBytes(of: UInt32(truncatingIfNeeded: value).littleEndian, as: UInt32.self)
  default:
    for byte in 0..<min(width, 8) {
      unsafe target.storeBytes(of: UInt8(truncatingIfNeeded: value >> UInt64(8 * byte)), toByteOffset: byte, as: UInt8.self)
    }
  }
}
