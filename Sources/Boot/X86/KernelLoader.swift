/// Which of a kernel's entry points the guest starts at.
public enum KernelEntry: Sendable, CaseIterable {
  /// The 64-bit entry, or PVH for an ELF kernel that has only that.
  case automatic
  /// The 64-bit entry of Linux's boot protocol.
  case long64
  /// The entry that a Xen ELF note names.
  case pvh
}

/// What loading a kernel comes to: which parts of the file go where, and what the kernel wants to be told.
struct KernelPlan: Equatable {
  enum Entry: Equatable {
    case long64(UInt64)
    case pvh(UInt64)
  }

  /// A part of the file and where the guest gets it.
  struct Part: Equatable {
    let fileOffset: UInt64
    let size: UInt64
    let address: UInt64
  }

  let parts: [Part]
  let entry: Entry
  /// Low RAM that the kernel leaves free for the initramfs.
  let freeMemory: Range<UInt64>
  /// The set-up header of a bzImage; empty for ELF.
  let setupHeader: [UInt8]
  /// How many bytes of command line fit, without the NUL.
  let commandLineLimit: Int
}

/// Examines a kernel file: its headers are copied and checked, against the size of the file and against RAM.
struct KernelLoader {
  let file: BootFile
  let map: X86AddressMap

  /// Linux's limits for kernels whose file states none: COMMAND_LINE_SIZE less the NUL, and the default of `initrd_addr_max`.
  private static let linuxCommandLineLimit = 2047
  private static let linuxInitramfsLimit: UInt64 = 0x8000_0000

  /// What to load, for the entry asked for.
  func plan(entry: KernelEntry) throws(BootError) -> KernelPlan {
    do { return try examine(entry: entry) } catch { throw .kernel(file: file.name, error) }
  }

  private func examine(entry: KernelEntry) throws(KernelProblem) -> KernelPlan {
    let size = try fileSize()
    let start = try read(offset: 0, count: BzImage.headerSize)
    if ELFKernel.matches(start) { return try planELF(size: size, entry: entry) }
    guard BzImage.matches(start) else { throw .unrecognized(kind: guess(start), firstBytes: Array(start.prefix(4))) }
    guard entry != .pvh else { throw .noPVHEntry("it is a bzImage, and only an ELF vmlinux can have one") }
    return try planBzImage(start, size: size)
  }

  private func fileSize() throws(KernelProblem) -> UInt64 {
    do { return try file.size() } catch { throw .file(error) }
  }

  private func read(offset: UInt64, count: Int) throws(KernelProblem) -> [UInt8] {
    do { return try file.read(offset: offset, count: count) } catch { throw .file(error) }
  }

  private func planBzImage(_ start: [UInt8], size: UInt64) throws(KernelProblem) -> KernelPlan {
    let image = try BzImage(start: start, fileSize: size, ramEnd: map.lowRAM.upperBound)
    return KernelPlan(
      parts: [KernelPlan.Part(fileOffset: image.payloadOffset, size: image.payloadSize, address: image.loadAddress)],
      entry: .long64(image.entry64), freeMemory: freeMemory(from: image.memoryEnd, limit: image.initramfsLimit),
      setupHeader: image.setupHeader, commandLineLimit: image.commandLineLimit)
  }

  private func planELF(size: UInt64, entry: KernelEntry) throws(KernelProblem) -> KernelPlan {
    let kernel = try ELFKernel(fileSize: size, map: map) { (offset, count) throws(FileProblem) in
      try file.read(offset: offset, count: count)
    }
    let parts = kernel.segments.filter { $0.fileSize > 0 }.map {
      KernelPlan.Part(fileOffset: $0.fileOffset, size: $0.fileSize, address: $0.memory.lowerBound)
    }
    return KernelPlan(
      parts: parts, entry: try choose(entry, of: kernel),
      freeMemory: freeMemory(from: kernel.lowMemoryEnd, limit: KernelLoader.linuxInitramfsLimit), setupHeader: [],
      commandLineLimit: KernelLoader.linuxCommandLineLimit)
  }

  private func freeMemory(from start: UInt64, limit: UInt64) -> Range<UInt64> {
    let end = min(limit, map.lowRAM.upperBound)
    return start < end ? start..<end : end..<end
  }

  /// The entry to use. An ELF header that names the PVH entry itself has no 64-bit one.
  private func choose(_ entry: KernelEntry, of kernel: ELFKernel) throws(KernelProblem) -> KernelPlan.Entry {
    if entry == .long64 {
      guard kernel.hasPhysicalEntry else { throw .badEntry(kernel.entry) }
      return .long64(kernel.entry)
    }
    let note: UInt64?
    // A broken note hinders only who needs it.
    do { note = try pvhEntry(of: kernel) } catch {
      if entry == .automatic, kernel.hasPhysicalEntry { return .long64(kernel.entry) }
      throw error
    }
    if entry == .automatic, kernel.hasPhysicalEntry, note != kernel.entry { return .long64(kernel.entry) }
    guard let note else {
      throw entry == .pvh ? .noPVHEntry("it has no Xen note of type 18") : .badEntry(kernel.entry)
    }
    guard kernel.segments.contains(where: { $0.memory.contains(note) }) else { throw .badEntry(note) }
    return .pvh(note)
  }

  private func pvhEntry(of kernel: ELFKernel) throws(KernelProblem) -> UInt64? {
    for part in kernel.notes {
      let size = part.upperBound - part.lowerBound
      guard size <= ELFKernel.maximumNoteSize else { throw .noPVHEntry("a note segment of \(size) bytes; the file is damaged") }
      if let entry = try PVHNote.entry(in: try read(offset: part.lowerBound, count: Int(size))) { return entry }
    }
    return nil
  }

  /// What a file that cannot be started looks like, from its magic number.
  private func guess(_ start: [UInt8]) -> String? {
    if start.count < 0x206 { return "only \(start.count) bytes long" }
    if start[0x38..<0x3c].elementsEqual([0x41, 0x52, 0x4d, 0x64]) { return "a kernel for arm64" }
    if start[0x38..<0x3c].elementsEqual([0x52, 0x53, 0x43, 0x05]) { return "a kernel for RISC-V" }
    let kinds: [([UInt8], String)] = [
      ([0x1f, 0x8b], "compressed with gzip"), ([0xfd, 0x37, 0x7a, 0x58, 0x5a], "compressed with xz"),
      ([0x28, 0xb5, 0x2f, 0xfd], "compressed with zstd"), ([0x42, 0x5a, 0x68], "compressed with bzip2"),
      ([0x30, 0x37, 0x30, 0x37], "an initramfs (a cpio archive)"), ([0x68, 0x73, 0x71, 0x73], "a squashfs image"),
      ([0x4d, 0x5a], "an EFI program without Linux's boot header"), ([0x23, 0x21], "a script"),
      ([0xd0, 0x0d, 0xfe, 0xed], "a device tree"),
    ]
    return kinds.first { start.starts(with: $0.0) }?.1
  }
}
