public import GuestMemory

/// What is booted: the kernel, its initial file system and its parameters.
public struct KernelBoot: Sendable {
  /// A bzImage or an ELF vmlinux.
  public var kernel: BootFile
  /// The initial file system, if any, handed over as it is.
  public var initramfs: BootFile?
  /// The kernel's parameters.
  public var commandLine: KernelCommandLine
  /// At which of its entry points the kernel starts.
  public var entry: KernelEntry

  /// Names the parts.
  public init(
    kernel: BootFile, initramfs: BootFile? = nil, commandLine: KernelCommandLine = KernelCommandLine(), entry: KernelEntry = .automatic
  ) {
    self.kernel = kernel
    self.initramfs = initramfs
    self.commandLine = commandLine
    self.entry = entry
  }
}

/// Puts everything that a kernel needs to start into guest memory: kernel, initramfs, command line, boot parameters, descriptor and page
/// tables, and the MP, ACPI and SMBIOS tables that describe the machine.
///
/// - Parameters:
///   - boot: What to boot.
///   - board: What the machine has.
///   - map: Where RAM and the PCI windows are.
///   - memory: Guest memory with the regions of `map`, all zero.
/// - Returns: The first vCPU's registers.
/// - Throws: `BootError`; guest memory may then hold a part of it all.
public func prepareKernelBoot(_ boot: KernelBoot, board: X86Board, map: X86AddressMap, memory: GuestMemory) throws(BootError) -> BootEntry {
  try board.validate()
  guard map.lowRAM.upperBound > X86Layout.firstKernelAddress else { throw .addressMap(.tooSmall(bytes: map.ramSize)) }
  let kernel = try KernelLoader(file: boot.kernel, map: map).plan(entry: boot.entry)
  let commandLine = try boot.commandLine.encoded(maximum: min(kernel.commandLineLimit, X86Layout.commandLineLimit))
  let initramfs = try boot.initramfs.map { (file) throws(BootError) in try loadInitramfs(file, into: kernel.freeMemory, of: memory) }
  let tables = try MachineTables(board: board, map: map)
  for part in kernel.parts {
    try boot.kernel.copy(part, into: memory) { (problem) in .kernel(file: boot.kernel.name, .file(problem)) }
  }

  do {
    try memory.write(commandLine, at: GuestAddress(X86Layout.commandLine.lowerBound))
    try tables.write(to: memory)
    switch kernel.entry {
    case .long64(let address):
      let parameters = BootParameters(
        setupHeader: kernel.setupHeader, e820: map.e820, initramfs: initramfs ?? 0..<0, commandLine: X86Layout.commandLine.lowerBound,
        commandLineSize: UInt32(commandLine.count - 1), rsdp: X86Layout.acpi.lowerBound)
      try memory.write(parameters.bytes, at: GuestAddress(X86Layout.bootParameters))
      try memory.write(DescriptorBytes.gdt(code: .code64), at: GuestAddress(X86Layout.gdt))
      try memory.write(
        DescriptorBytes.identityPageTables(at: X86Layout.pageTables), at: GuestAddress(X86Layout.pageTables))
      return .linux(entry: address)
    case .pvh(let address):
      let information = PVHStartInformation(
        e820: map.e820, initramfs: initramfs, commandLine: X86Layout.commandLine.lowerBound, rsdp: X86Layout.acpi.lowerBound)
      try memory.write(information.bytes(at: X86Layout.pvhStartInfo), at: GuestAddress(X86Layout.pvhStartInfo))
      try memory.write(DescriptorBytes.gdt(code: .code32), at: GuestAddress(X86Layout.gdt))
      return .pvh(entry: address)
    }
  } catch { throw .memory(error) }
}

/// Reads the initramfs to the highest page-aligned place in `space`.
///
/// - Returns: The bytes' addresses.
func loadInitramfs(_ file: BootFile, into space: Range<UInt64>, of memory: GuestMemory) throws(BootError) -> Range<UInt64> {
  let size: UInt64
  do { size = try file.size() } catch { throw .initramfs(file: file.name, .file(error)) }
  let free = space.upperBound - space.lowerBound
  // The first comparison keeps the subtraction from wrapping.
  guard size <= free, (space.upperBound - size) & ~0xfff >= space.lowerBound else {
    throw .initramfs(file: file.name, .tooLarge(bytes: size, space: free, ram: memory.size))
  }
  let start = (space.upperBound - size) & ~0xfff
  let part = KernelPlan.Part(fileOffset: 0, size: size, address: start)
  try file.copy(part, into: memory) { (problem) in .initramfs(file: file.name, .file(problem)) }
  return start..<start + size
}
