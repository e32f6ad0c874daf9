/// Xen's `hvm_start_info`, version 1, with the module list and memory map it points to
/// (Xen, "x86/HVM direct boot ABI"; include/public/arch-x86/hvm/start_info.h).
struct PVHStartInformation {
  var e820: [E820Entry]
  /// The only module: the initramfs.
  var initramfs: Range<UInt64>?
  /// The address of the command line.
  var commandLine: UInt64
  /// The address of the ACPI root pointer.
  var rsdp: UInt64

  private static let size: UInt64 = 56
  private static let moduleSize: UInt64 = 32

  /// The structures, for guest memory at `address`.
  func bytes(at address: UInt64) -> [UInt8] {
    let modules = address + PVHStartInformation.size
    let map = modules + PVHStartInformation.moduleSize
    var table = TableBytes()
    table.append(UInt32(0x336e_c578))
    table.append(UInt32(1))  // version
    table.append(UInt32(0))  // flags
    table.append(UInt32(initramfs == nil ? 0 : 1))
    table.append(initramfs == nil ? 0 : modules)
    table.append(commandLine)
    table.append(rsdp)
    table.append(map)
    table.append(UInt32(e820.count))
    table.append(UInt32(0))

    table.append(initramfs?.lowerBound ?? 0)
    table.append(initramfs.map { $0.upperBound - $0.lowerBound } ?? 0)
    table.append(UInt64(0))  // no command line of its own
    table.append(UInt64(0))

    for entry in e820 {
      table.append(entry.range.lowerBound)
      table.append(entry.size)
      table.append(entry.kind.rawValue)
      table.append(UInt32(0))
    }
    return table.bytes
  }
}
