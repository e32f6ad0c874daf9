/// The set-up header of a Linux bzImage, checked (Linux, Documentation/arch/x86/boot.rst, "The real-mode kernel header").
struct BzImage: Equatable {
  /// How much of the file's beginning `init` needs to see.
  static let headerSize = 0x290
  private static let headerStart = 0x1f1
  private static let magicOffset = 0x202

  /// Where the protected-mode part begins in the file.
  let payloadOffset: UInt64
  /// Its size in bytes.
  let payloadSize: UInt64
  /// Where to load it.
  let loadAddress: UInt64
  /// The end of the memory that the kernel takes before it has read the memory map.
  let memoryEnd: UInt64
  /// The first address after the highest that may hold the initramfs.
  let initramfsLimit: UInt64
  /// How many bytes of command line it reads, without the NUL.
  let commandLineLimit: Int
  /// The header as it goes into the boot parameters, from their offset 0x1f1 on.
  let setupHeader: [UInt8]

  /// Where the kernel starts in 64-bit mode.
  var entry64: UInt64 { loadAddress + 0x200 }

  /// Whether a file with this beginning is a bzImage, by its magic number.
  static func matches(_ start: [UInt8]) -> Bool {
    start.count >= magicOffset + 4 && start[magicOffset..<magicOffset + 4].elementsEqual([0x48, 0x64, 0x72, 0x53])
  }

  /// Reads the header.
  ///
  /// - Parameters:
  ///   - start: The file's first `headerSize` bytes, or all of a shorter file.
  ///   - fileSize: The size of the whole file.
  ///   - ramEnd: Where RAM below 4 GiB ends.
  init(start: [UInt8], fileSize: UInt64, ramEnd: UInt64) throws(KernelProblem) {
    let header = HeaderBytes(bytes: start, part: "set-up header")
    let bootFlag: UInt16 = try header.load(0x1fe)
    guard bootFlag == 0xaa55 else { throw .badField("boot_flag", value: UInt64(bootFlag), expected: "0xaa55") }
    let version: UInt16 = try header.load(0x206)
    guard version >= 0x020c else { throw .oldProtocol(version: version) }
    let loadFlags: UInt16 = try header.load(0x236)
    guard loadFlags & 1 != 0 else { throw .no64BitEntry }

    (payloadOffset, payloadSize) = try BzImage.payload(header, fileSize: fileSize)
    loadAddress = try BzImage.loadAddress(header)
    let initSize: UInt32 = try header.load(0x260)
    // No overflow: the address is below 4 GiB and so are both sizes, times 16.
    memoryEnd = loadAddress + max(UInt64(initSize), payloadSize)
    guard memoryEnd <= ramEnd else { throw .doesNotFit(start: loadAddress, end: memoryEnd, ramEnd: ramEnd) }

    let initramfsMaximum: UInt32 = try header.load(0x22c)
    initramfsLimit = UInt64(initramfsMaximum) + 1
    let commandLineSize: UInt32 = try header.load(0x238)
    commandLineLimit = Int(clamping: commandLineSize)
    setupHeader = try BzImage.setupHeader(header)
  }

  private static func payload(_ header: HeaderBytes, fileSize: UInt64) throws(KernelProblem) -> (offset: UInt64, size: UInt64) {
    let sectors: UInt8 = try header.load(0x1f1)
    let paragraphs: UInt32 = try header.load(0x1f4)
    // boot.rst: for compatibility 0 means 4. The boot sector itself comes on top.
    let offset = (UInt64(sectors == 0 ? 4 : sectors) + 1) * 512
    let size = UInt64(paragraphs) * 16
    guard size > 0x200 else { throw .badField("syssize", value: UInt64(paragraphs), expected: "more than 0x20 paragraphs of 16 bytes") }
    guard offset + size <= fileSize else { throw .truncated(part: "protected-mode code", needed: offset + size, size: fileSize) }
    return (offset, size)
  }

  /// The address that the kernel prefers. A relocatable kernel gains nothing elsewhere: it moves itself there when loaded lower.
  private static func loadAddress(_ header: HeaderBytes) throws(KernelProblem) -> UInt64 {
    let preferred: UInt64 = try header.load(0x258)
    let alignment: UInt32 = try header.load(0x230)
    let isRelocatable: UInt8 = try header.load(0x234)
    guard preferred >= X86Layout.firstKernelAddress, preferred < X86Layout.fourGiB else {
      throw .badField("pref_address", value: preferred, expected: "an address from 1 MiB to 4 GiB")
    }
    guard isRelocatable != 0 else { return preferred }
    guard alignment.nonzeroBitCount == 1 else {
      throw .badField("kernel_alignment", value: UInt64(alignment), expected: "a power of two")
    }
    let mask = UInt64(alignment) - 1
    return (preferred + mask) & ~mask
  }

  private static func setupHeader(_ header: HeaderBytes) throws(KernelProblem) -> [UInt8] {
    // boot.rst: the header ends at 0x202 plus the byte at 0x201, the offset of the jump at its start.
    let jump: UInt8 = try header.load(0x201)
    let end = magicOffset + Int(jump)
    // The last field read above, init_size, ends at 0x264.
    guard end >= 0x264 else { throw .badField("the header's length", value: UInt64(jump), expected: "0x62 or more") }
    let kept = min(end, headerSize)
    guard header.bytes.count >= kept else {
      throw .truncated(part: header.part, needed: UInt64(kept), size: UInt64(header.bytes.count))
    }
    return Array(header.bytes[headerStart..<kept])
  }
}
