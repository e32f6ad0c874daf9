internal import GuestMemory

/// Which of a kernel's entry points the guest starts at.
public enum KernelEntry: Sendable, CaseIterable {
  /// The 64-bit entry, or PVH for an ELF kernel that has only that.
  case automatic
  /// The 64-bit entry of Linux's boot protocol.
  case long64
  /// The entry that a Xen ELF note names.
  case pvh
}

/// A kernel in guest memory.
struct LoadedKernel: Equatable {
  enum Entry: Equatable {
    case long64(UInt64)
    case pvh(UInt64)
  }

  let entry: Entry
  /// Low RAM that the kernel leaves free for the initramfs.
  let freeMemory: Range<UInt64>
  /// The set-up header of a bzImage; empty for ELF.
  let setupHeader: [UInt8]
  /// How many bytes of command line fit, without the NUL.
  let commandLineLimit: Int
}

/// Loads a kernel from a file: the headers are copied and checked, the rest goes from the file straight into guest memory.
struct KernelLoader {
  let file: BootFile
  let map: X86AddressMap
  let memory: GuestMemory

  /// Linux's limits for kernels whose file states none: COMMAND_LINE_SIZE less the NUL, and the default of `initrd_addr_max`.
  private static let linuxCommandLineLimit = 2047
  private static let linuxInitramfsLimit: UInt64 = 0x8000_0000

  func load(entry: KernelEntry) throws(BootError) -> LoadedKernel {
    do {
      let size = try fileSize()
      let start = try read(offset: 0, count: BzImage.headerSize)
      if ELFKernel.matches(start) { return try loadELF(size: size, entry: entry) }
      guard BzImage.matches(start) else { throw KernelProblem.unrecognized(kind: guess(start), firstBytes: Array(start.prefix(4))) }
      guard entry != .pvh else { throw KernelProblem.noPVHEntry("it is a bzImage, and only an ELF vmlinux can have one") }
      return try loadBzImage(start, size: size)
    } catch let problem as KernelProblem {
      throw .kernel(file: file.name, problem)
    } catch let error as GuestMemoryError {
      throw .memory(error)
    } catch {
      // Not reached: everything above throws one of the two.
      throw .kernel(file: file.name, .unrecognized(kind: nil, firstBytes: []))
    }
  }

  private func fileSize() throws(KernelProblem) -> UInt64 {
    do { return try file.size() } catch { throw .file(error) }
  }

  private func read(offset: UInt64, count: Int) throws(KernelProblem) -> [UInt8] {
    do { return try file.read(offset: offset, count: count) } catch { throw .file(error) }
  }

  private func loadBzImage(_ start: [UInt8], size: UInt64) throws -> LoadedKernel {
    let image = try BzImage(start: start, fileSize: size, ramEnd: map.lowRAM.upperBound)
    try memory.readFile(
      descriptor: file.descriptor, offset: image.payloadOffset, count: image.payloadSize, into: GuestAddress(image.loadAddress))
    return LoadedKernel(
      entry: .long64(image.entry64), freeMemory: freeMemory(from: image.memoryEnd, limit: image.initramfsLimit),
      setupHeader: image.setupHeader, commandLineLimit: image.commandLineLimit)
  }

  private func loadELF(size: UInt64, entry: KernelEntry) throws -> LoadedKernel {
    let kernel = try ELFKernel(fileSize: size, map: map) { (offset, count) throws(FileProblem) in
      try file.read(offset: offset, count: count)
    }
    let chosen = try choose(entry, of: kernel)
    for segment in kernel.segments where segment.fileSize > 0 {
      try memory.readFile(
        descriptor: file.descriptor, offset: segment.fileOffset, count: segment.fileSize, into: GuestAddress(segment.memory.lowerBound))
    }
    return LoadedKernel(
      entry: chosen, freeMemory: freeMemory(from: kernel.lowMemoryEnd, limit: KernelLoader.linuxInitramfsLimit), setupHeader: [],
      commandLineLimit: KernelLoader.linuxCommandLineLimit)
  }

  private func freeMemory(from start: UInt64, limit: UInt64) -> Range<UInt64> {
    let end = min(limit, map.lowRAM.upperBound)
    return start < end ? start..<end : end..<end
  }

  /// The entry to use. An ELF header that names the PVH entry itself has no 64-bit one.
  private func choose(_ entry: KernelEntry, of kernel: ELFKernel) throws(KernelProblem) -> LoadedKernel.Entry {
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
