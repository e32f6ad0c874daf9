/// How the first vCPU starts: register values for the caller to put into KVM. Everything they point to is in guest memory.
///
/// The other vCPUs wait for the first one's start-up messages and need none of this.
public struct BootEntry: Equatable, Sendable {
  /// What the processor is to be doing when the guest's first instruction comes.
  public enum Mode: Sendable {
    /// 64-bit mode with the first 4 GiB mapped one to one (Linux boot protocol, "64-bit boot protocol").
    case long64
    /// 32-bit protected mode without paging (Xen, "x86/HVM direct boot ABI").
    case protected32
    /// The state after reset: the vCPU's registers stay as KVM made them.
    case reset
  }

  /// The processor's mode.
  public let mode: Mode
  /// The first instruction, as an offset in `code`.
  public let rip: UInt64
  /// For PVH the address of the start information.
  public let rbx: UInt64
  /// For the 64-bit entry the address of the boot parameters.
  public let rsi: UInt64
  /// The stack pointer.
  public let rsp: UInt64
  /// The flags: interrupts disabled.
  public let rflags: UInt64
  /// Control register 0.
  public let cr0: UInt64
  /// Control register 3: the page tables, or 0 without paging.
  public let cr3: UInt64
  /// Control register 4.
  public let cr4: UInt64
  /// The EFER register.
  public let efer: UInt64
  /// For CS.
  public let code: SegmentDescriptor
  /// For DS, ES, FS, GS and SS.
  public let data: SegmentDescriptor
  /// For TR.
  public let task: SegmentDescriptor
  /// For GDTR: base address and limit (size in bytes less one).
  public let gdt: DescriptorTable
  /// For IDTR: empty, an exception before the kernel sets its own ends in a triple fault.
  public let idt: DescriptorTable

  /// A table register's value.
  public struct DescriptorTable: Equatable, Sendable {
    /// Where the table begins.
    public let base: UInt64
    /// Its size in bytes less one.
    public let limit: UInt16
  }

  static func linux(entry: UInt64) -> BootEntry {
    BootEntry(
      mode: .long64, rip: entry, rbx: 0, rsi: X86Layout.bootParameters, rsp: X86Layout.stackTop, rflags: Flags.reserved,
      cr0: Flags.protection | Flags.coprocessor | Flags.paging, cr3: X86Layout.pageTables, cr4: Flags.physicalAddressExtension,
      efer: Flags.longModeEnabled | Flags.longModeActive, code: .code64, data: .data, task: .task,
      gdt: DescriptorTable(base: X86Layout.gdt, limit: DescriptorBytes.limit), idt: DescriptorTable(base: 0, limit: 0))
  }

  static func pvh(entry: UInt64) -> BootEntry {
    BootEntry(
      mode: .protected32, rip: entry, rbx: X86Layout.pvhStartInfo, rsi: 0, rsp: X86Layout.stackTop, rflags: Flags.reserved,
      cr0: Flags.protection | Flags.coprocessor, cr3: 0, cr4: 0, efer: 0, code: .code32, data: .data, task: .task,
      gdt: DescriptorTable(base: X86Layout.gdt, limit: DescriptorBytes.limit), idt: DescriptorTable(base: 0, limit: 0))
  }

  /// The state after reset: the first instruction is 16 bytes below 4 GiB, at the end of the firmware.
  public static let resetVector = BootEntry(
    mode: .reset, rip: 0xfff0, rbx: 0, rsi: 0, rsp: 0, rflags: Flags.reserved, cr0: 0x6000_0010, cr3: 0, cr4: 0, efer: 0,
    code: SegmentDescriptor(selector: 0xf000, base: 0xffff_0000, limit: 0xffff, type: 0xb),
    data: SegmentDescriptor(selector: 0, base: 0, limit: 0xffff, type: 3),
    task: SegmentDescriptor(selector: 0, base: 0, limit: 0xffff, type: 0xb, isSystem: true),
    gdt: DescriptorTable(base: 0, limit: 0xffff), idt: DescriptorTable(base: 0, limit: 0xffff))

  /// Bits of the control registers (Intel SDM volume 3, 2.5).
  private enum Flags {
    static let reserved: UInt64 = 1 << 1
    static let protection: UInt64 = 1 << 0
    static let coprocessor: UInt64 = 1 << 4
    static let paging: UInt64 = 1 << 31
    static let physicalAddressExtension: UInt64 = 1 << 5
    static let longModeEnabled: UInt64 = 1 << 8
    static let longModeActive: UInt64 = 1 << 10
  }
}
