import GuestMemory

@testable import Boot

/// A guest whose memory can be looked at after it was prepared.
struct GuestFixture {
  let map: X86AddressMap
  let memory: GuestMemory
  var board = X86Board(processors: 2, pciInterrupts: PCIInterruptRouting { slot, pin in slot == 0 ? nil : 16 + UInt32((slot + pin) % 8) })

  init(ramSize: UInt64 = 4 << 20) throws {
    map = try X86AddressMap(ramSize: ramSize, physicalAddressBits: 40)
    memory = try GuestMemory(regions: map.ramRegions)
  }

  /// Prepares the guest from the bytes of the files.
  func prepare(
    _ kernel: [UInt8], initramfs: [UInt8]? = nil, commandLine: String = "", entry: KernelEntry = .automatic
  ) throws -> BootEntry {
    let kernelFile = try FileFixture(kernel)
    let initramfsFile = try initramfs.map { try FileFixture($0, name: "initramfs.img") }
    var line = KernelCommandLine()
    try line.append(commandLine)
    let boot = KernelBoot(kernel: kernelFile.bootFile, initramfs: initramfsFile?.bootFile, commandLine: line, entry: entry)
    return try withExtendedLifetime((kernelFile, initramfsFile)) {
      try prepareKernelBoot(boot, board: board, map: map, memory: memory)
    }
  }

  /// The reason why a kernel is refused; `nil` when it is not.
  func problem(_ kernel: [UInt8], entry: KernelEntry = .automatic) throws -> KernelProblem? {
    do {
      _ = try prepare(kernel, entry: entry)
      return nil
    } catch BootError.kernel(file: "vmlinux", let problem) { return problem }
  }

  func bytes(_ count: Int, at address: UInt64) throws -> [UInt8] { try memory.read(count: count, at: GuestAddress(address)) }
}
