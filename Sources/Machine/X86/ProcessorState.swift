internal import Boot
internal import CLinux
internal import KVM

/// Gives a processor the state in which it starts.
struct ProcessorState {
  let identification: ProcessorIdentification
  let modelRegisters: [(index: UInt32, value: UInt64)]

  /// Prepares one processor. `entry` is where the first one starts; the others wait for its start-up messages.
  func apply(to processor: VirtualCPU, entry: BootEntry) throws(KVMError) {
    try processor.setCPUID(identification.leaves(for: processor.identifier))
    guard entry.mode != .reset else { return }
    try processor.setModelRegisters(modelRegisters)
    try Self.wireLocalAPIC(of: processor)
    guard processor.identifier == 0 else { return }
    try Self.setFloatingPoint(of: processor)
    try Self.setEntry(entry, of: processor)
  }

  /// LINT0 passes the PIC's interrupts on, LINT1 is the non-maskable interrupt: the wiring of a PC (MP specification, 3.6.2.2).
  private static func wireLocalAPIC(of processor: VirtualCPU) throws(KVMError) {
    var apic = try processor.localAPIC()
    let (lint0, lint1, externalInterrupt, nonMaskable) = (0x350, 0x360, UInt32(0x700), UInt32(0x400))
    unsafe withUnsafeMutableBytes(of: &apic.regs) { registers in
      // In bounds: the register page is 1 KiB, and both offsets are below it.
      unsafe registers.storeBytes(of: externalInterrupt, toByteOffset: lint0, as: UInt32.self)
      unsafe registers.storeBytes(of: nonMaskable, toByteOffset: lint1, as: UInt32.self)
    }
    try processor.setLocalAPIC(apic)
  }

  /// The state after FNINIT, with SSE exceptions masked.
  private static func setFloatingPoint(of processor: VirtualCPU) throws(KVMError) {
    var state = kvm_fpu()
    state.fcw = 0x37f
    state.mxcsr = 0x1f80
    try processor.setFloatingPoint(state)
  }

  private static func setEntry(_ entry: BootEntry, of processor: VirtualCPU) throws(KVMError) {
    var system = try processor.systemRegisters()
    system.cs = segment(entry.code)
    let data = segment(entry.data)
    (system.ds, system.es, system.fs, system.gs, system.ss) = (data, data, data, data, data)
    system.tr = segment(entry.task)
    (system.gdt.base, system.gdt.limit) = (entry.gdt.base, entry.gdt.limit)
    (system.idt.base, system.idt.limit) = (entry.idt.base, entry.idt.limit)
    (system.cr0, system.cr3, system.cr4, system.efer) = (entry.cr0, entry.cr3, entry.cr4, entry.efer)
    try processor.setSystemRegisters(system)
    var general = kvm_regs()
    (general.rip, general.rbx, general.rsi, general.rsp, general.rbp) = (entry.rip, entry.rbx, entry.rsi, entry.rsp, entry.rsp)
    general.rflags = entry.rflags
    try processor.setRegisters(general)
  }

  private static func segment(_ descriptor: SegmentDescriptor) -> kvm_segment {
    var segment = kvm_segment()
    segment.base = descriptor.base
    segment.limit = descriptor.limit
    segment.selector = descriptor.selector
    segment.type = descriptor.type
    segment.present = 1
    segment.db = descriptor.is32Bit ? 1 : 0
    segment.s = descriptor.isSystem ? 0 : 1
    segment.l = descriptor.isLong ? 1 : 0
    segment.g = descriptor.countsPages ? 1 : 0
    return segment
  }
}
