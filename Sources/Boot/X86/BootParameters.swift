/// Linux's `struct boot_params`, a page (Linux, Documentation/arch/x86/zero-page.rst; offsets from the beginning of the page).
struct BootParameters {
  private static let maximumE820Entries = 128

  /// The set-up header of a bzImage; empty for a kernel without one.
  var setupHeader: [UInt8] = []
  var e820: [E820Entry] = []
  /// The initramfs, or an empty range.
  var initramfs: Range<UInt64> = 0..<0
  /// The command line's address.
  var commandLine: UInt64 = 0
  /// Its length without the NUL.
  var commandLineSize: UInt32 = 0
  /// The address of the ACPI root pointer.
  var rsdp: UInt64 = 0

  /// The page.
  var bytes: [UInt8] {
    var page = TableBytes()
    page.append(zeros: 4096)
    page.set(rsdp, at: 0x070)
    setHeader(&page)
    // The high halves, for an initramfs or a command line above 4 GiB.
    page.set(UInt32(truncatingIfNeeded: initramfs.lowerBound >> 32), at: 0x0c0)
    page.set(UInt32(truncatingIfNeeded: initramfsSize >> 32), at: 0x0c4)
    page.set(UInt32(truncatingIfNeeded: commandLine >> 32), at: 0x0c8)
    let entries = e820.prefix(BootParameters.maximumE820Entries)
    page.set(UInt8(entries.count), at: 0x1e8)
    for (index, entry) in entries.enumerated() {
      page.set(entry.range.lowerBound, at: 0x2d0 + 20 * index)
      page.set(entry.size, at: 0x2d0 + 20 * index + 8)
      page.set(entry.kind.rawValue, at: 0x2d0 + 20 * index + 16)
    }
    return page.bytes
  }

  private var initramfsSize: UInt64 { initramfs.upperBound - initramfs.lowerBound }

  /// The set-up header: the kernel's own, or the fields an ELF kernel reads, and what a boot loader fills in.
  private func setHeader(_ page: inout TableBytes) {
    if setupHeader.isEmpty {
      page.set(UInt16(0xaa55), at: 0x1fe)
      page.set(UInt32(0x5372_6448), at: 0x202)
      page.set(UInt16(0x020c), at: 0x206)
      page.set(UInt32(0x0100_0000), at: 0x230)
    } else {
      page.set(bytes: setupHeader, at: 0x1f1)
    }
    // vid_mode "normal"; type_of_loader "undefined"; loadflags LOADED_HIGH, without CAN_USE_HEAP.
    page.set(UInt16(0xffff), at: 0x1fa)
    page.set(UInt8(0xff), at: 0x210)
    page.set(UInt8(0x01), at: 0x211)
    page.set(UInt32(truncatingIfNeeded: initramfs.lowerBound), at: 0x218)
    page.set(UInt32(truncatingIfNeeded: initramfsSize), at: 0x21c)
    page.set(UInt32(truncatingIfNeeded: commandLine), at: 0x228)
    if setupHeader.isEmpty { page.set(commandLineSize, at: 0x238) }
    // No setup_data list, whatever the file says.
    page.set(UInt64(0), at: 0x250)
  }
}
