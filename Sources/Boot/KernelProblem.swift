/// Why a file cannot be started as a kernel.
public enum KernelProblem: Error, Equatable, Sendable, CustomStringConvertible {
  /// The file cannot be read.
  case file(FileProblem)
  /// It is neither a bzImage nor an ELF file; `kind` says what it looks like, where that is known.
  case unrecognized(kind: String?, firstBytes: [UInt8])
  /// It ends before what its headers promise.
  case truncated(part: String, needed: UInt64, size: UInt64)
  /// An ELF file of another width, byte order, machine or purpose.
  case wrongELF(ELFMismatch)
  /// The boot protocol is older than the 64-bit entry.
  case oldProtocol(version: UInt16)
  /// A bzImage without the 64-bit entry: a 32-bit kernel.
  case no64BitEntry
  /// A header field has a value that makes no sense.
  case badField(String, value: UInt64, expected: String)
  /// A loadable segment cannot be put into guest memory.
  case segment(Int, SegmentProblem)
  /// The kernel needs guest-physical memory that is not RAM.
  case doesNotFit(start: UInt64, end: UInt64, ramEnd: UInt64)
  /// The entry point is not inside anything that was loaded.
  case badEntry(UInt64)
  /// PVH was asked for and the kernel has no note with a PVH entry, or the note is broken.
  case noPVHEntry(String)

  /// The message for the user.
  public var description: String {
    switch self {
    case .file(.empty): "is empty; give a bzImage or an ELF vmlinux"
    case .file(let problem): problem.description
    case .unrecognized(let kind?, _): "is \(kind); give an x86-64 bzImage or an uncompressed ELF vmlinux"
    case .unrecognized(nil, let bytes):
      "is neither a bzImage nor an ELF file (it begins with \(bytes.map { hex($0) }.joined(separator: " "))); give a Linux kernel for x86-64"
    case .truncated(let part, let needed, let size):
      "is truncated: the \(part) ends at byte \(needed) and the file at \(size); copy it again"
    case .wrongELF(let mismatch): mismatch.description
    case .oldProtocol(let version):
      "speaks boot protocol \(version >> 8).\(version & 0xff); the 64-bit entry needs 2.12 (Linux 3.8) or newer"
    case .no64BitEntry: "has no 64-bit entry point (XLF_KERNEL_64 is clear); give a kernel built for x86-64"
    case .badField(let name, let value, let expected): "is damaged: \(name) is \(hex(value)), expected \(expected)"
    case .segment(let index, let problem): "cannot be loaded: program header \(index): \(problem)"
    case .doesNotFit(let start, let end, let ramEnd):
      ramEnd < 0xc000_0000
        ? "needs memory up to \(mebibytes(end)) MiB, and the guest has \(mebibytes(ramEnd)); give it more (--mem)"
        : "needs memory from \(hex(start)) to \(hex(end)), and RAM below 4 GiB ends at \(hex(ramEnd)); give another kernel"
    case .badEntry(let entry): "starts at \(hex(entry)), where nothing is loaded; give a kernel that starts at a physical address"
    case .noPVHEntry(let reason): "has no PVH entry: \(reason); give an ELF vmlinux built with CONFIG_PVH, or use the 64-bit entry"
    }
  }
}

/// How an ELF file differs from what an x86-64 guest can run.
public enum ELFMismatch: Error, Equatable, Sendable, CustomStringConvertible {
  /// ELFCLASS32, for the machine of that number.
  case bits32(machine: UInt16)
  /// ELFDATA2MSB.
  case bigEndian
  /// `e_machine` is not EM_X86_64.
  case machine(UInt16)
  /// `e_type` is neither ET_EXEC nor ET_DYN.
  case type(UInt16)

  /// The message for the user.
  public var description: String {
    switch self {
    case .bits32(let machine): "is a 32-bit ELF file for \(ELFMismatch.name(ofMachine: machine)); give a 64-bit x86-64 kernel"
    case .bigEndian: "is a big-endian ELF file; give a little-endian x86-64 kernel"
    case .machine(let machine): "is an ELF file for \(ELFMismatch.name(ofMachine: machine)); give a kernel built for x86-64"
    case .type(1): "is an ELF object file (a kernel module?); give the linked vmlinux"
    case .type(4): "is an ELF core dump; give the vmlinux itself"
    case .type(let type): "is an ELF file of type \(type); give an executable vmlinux"
    }
  }

  /// The usual name for a value of `e_machine` (System V ABI, and <elf.h>).
  static func name(ofMachine machine: UInt16) -> String {
    let names: [UInt16: String] = [
      0: "no machine", 2: "SPARC", 3: "i386", 8: "MIPS", 20: "PowerPC", 21: "64-bit PowerPC", 22: "s390", 40: "arm", 43: "SPARC V9",
      50: "IA-64", 62: "x86-64", 183: "arm64", 243: "RISC-V", 258: "LoongArch",
    ]
    return names[machine] ?? "machine number \(machine)"
  }
}

/// Why a loadable segment of an ELF file cannot be put into guest memory.
public enum SegmentProblem: Error, Equatable, Sendable, CustomStringConvertible {
  /// `p_memsz` is smaller than `p_filesz`.
  case smallerInMemory(memory: UInt64, file: UInt64)
  /// Physical address plus size exceeds 64 bits.
  case wraps(address: UInt64, size: UInt64)
  /// It covers addresses below 1 MiB, where the boot parameters and tables are.
  case overLowMemory(address: UInt64, size: UInt64)
  /// Not all of it is RAM.
  case outsideRAM(address: UInt64, size: UInt64)
  /// It shares addresses with another segment.
  case overlaps(Int)

  /// The message for the user.
  public var description: String {
    switch self {
    case .smallerInMemory(let memory, let file): "takes \(file) bytes in the file and only \(memory) in memory; the file is damaged"
    case .wraps(let address, let size): "\(size) bytes at \(hex(address)) exceed the 64-bit address space; the file is damaged"
    case .overLowMemory(let address, let size):
      "\(size) bytes at \(hex(address)) cover the first MiB, which holds the boot parameters; link the kernel at 1 MiB or higher"
    case .outsideRAM(let address, let size): "\(size) bytes at \(hex(address)) are not all in RAM; give the guest more memory"
    case .overlaps(let other): "shares memory with program header \(other); the file is damaged"
    }
  }
}
