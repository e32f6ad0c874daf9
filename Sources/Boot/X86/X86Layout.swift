/// Where things are in the guest-physical memory of an x86-64 machine. All values are byte addresses unless they say otherwise.
///
/// | from       | to         | what                                                             |
/// |-----------:|-----------:|------------------------------------------------------------------|
/// |      0x400 |      0x500 | BIOS data area: the segment of the EBDA, the size of base memory |
/// |      0x500 |      0x530 | global descriptor table                                          |
/// |     0x6000 |     0x7000 | PVH start information, module list, memory map                   |
/// |     0x7000 |     0x8000 | boot parameters ("zero page")                                    |
/// |     0x8000 |     0x9000 | first stack                                                      |
/// |     0x9000 |     0xf000 | page tables: the first 4 GiB at their own addresses              |
/// |    0x20000 |    0x30000 | kernel command line                                              |
/// |    0x9e000 |    0xa0000 | extended BIOS data area: MP table                                |
/// |    0xe0000 |    0xf0000 | ACPI tables                                                      |
/// |    0xf0000 |   0x100000 | SMBIOS tables                                                    |
/// |   0x100000 | low end    | RAM for the kernel, the initramfs at its top                     |
/// | 0xd0000000 | 0xf4000000 | window for 32-bit PCI BARs                                       |
/// | 0xf4000000 | 0xf8000000 | PCI configuration space (ECAM), buses 0 to 63                    |
/// | 0xf8000000 |    4 GiB   | platform devices, KVM's own pages, firmware ending at 4 GiB      |
/// |    4 GiB   | high end   | RAM that did not fit below 0xd0000000                            |
/// | above it   |            | images of persistent memory, each at a multiple of 128 MiB       |
/// | above them |            | window for 64-bit PCI BARs                                       |
public enum X86Layout {
  /// Word in the BIOS data area: the EBDA's segment number.
  public static let ebdaSegmentWord: UInt64 = 0x40e
  /// Word in the BIOS data area: KiB of base memory below the EBDA.
  public static let baseMemoryWord: UInt64 = 0x413
  /// Global descriptor table: null, null, code, data, task (two entries).
  public static let gdt: UInt64 = 0x500
  /// Xen's `hvm_start_info`, followed by what it points to.
  public static let pvhStartInfo: UInt64 = 0x6000
  /// Linux's `struct boot_params`.
  public static let bootParameters: UInt64 = 0x7000
  /// The first stack pointer; the stack grows down to the boot parameters' end.
  public static let stackTop: UInt64 = 0x9000
  /// Page map level 4; the directory pointer table and four directories follow it, a page each.
  public static let pageTables: UInt64 = 0x9000
  /// The kernel command line with its NUL.
  public static let commandLine: Range<UInt64> = 0x20000..<0x30000
  /// How many bytes of command line fit there, without the NUL.
  public static let commandLineLimit = 0xffff
  /// Extended BIOS data area, reserved in the E820 map.
  public static let ebda: Range<UInt64> = 0x9e000..<0xa0000
  /// RSDP first, then the other ACPI tables.
  public static let acpi: Range<UInt64> = 0xe0000..<0xf0000
  /// SMBIOS entry point first, then the structures.
  public static let smbios: Range<UInt64> = 0xf0000..<0x100000
  /// The first address that a kernel may be loaded to.
  public static let firstKernelAddress: UInt64 = 0x100000
  /// Window for 32-bit BARs; RAM below 4 GiB ends where it begins.
  public static let pciWindow32: Range<UInt64> = 0xd000_0000..<0xf400_0000
  /// PCI configuration space, 1 MiB a bus.
  public static let ecam: Range<UInt64> = 0xf400_0000..<0xf800_0000
  /// The last bus that the configuration space covers.
  public static let lastPCIBus: UInt8 = 63
  /// Registers of the I/O APIC.
  public static let ioapic: UInt64 = 0xfec0_0000
  /// How many inputs the I/O APIC has.
  public static let ioapicInputs = 24
  /// Registers of each vCPU's local APIC.
  public static let localAPIC: UInt64 = 0xfee0_0000
  /// The page for KVM_SET_IDENTITY_MAP_ADDR.
  public static let identityMap: UInt64 = 0xfeff_c000
  /// The three pages for KVM_SET_TSS_ADDR.
  public static let tss: UInt64 = 0xfeff_d000
  /// Where firmware images end, high RAM begins, and the first page tables end.
  public static let fourGiB: UInt64 = 0x1_0000_0000
  /// Firmware's second home: the image's last bytes, for real mode.
  public static let lowFirmware: Range<UInt64> = 0xe0000..<0x100000

  /// I/O ports of the ACPI fixed hardware: PM1 event registers (4 ports).
  public static let pm1EventPort: UInt16 = 0x600
  /// PM1 control register (2 ports).
  public static let pm1ControlPort: UInt16 = 0x604
  /// PM timer (4 ports), where there is one.
  public static let pmTimerPort: UInt16 = 0x608
  /// The port of the panic device, QEMU0001.
  public static let panicPort: UInt16 = 0x505
  /// The reset control register of PC chipsets.
  public static let resetPort: UInt16 = 0xcf9
}
