internal import Boot
internal import Glibc
internal import GuestMemory
internal import KVM
internal import Platform

/// What the first processor starts with, and what must stay mapped for it.
struct LoadedGuest {
  let entry: BootEntry
  /// The firmware's image, read-only to the guest; mapped, not read, so that only the pages in use are taken.
  let firmware: (mapping: MemoryMapping, address: UInt64)?

  /// Where the firmware's image is on either side.
  var firmwareSlot: MemorySlots.Extra? {
    firmware.map {
      unsafe MemorySlots.Extra(
        hostAddress: UInt64(UInt(bitPattern: $0.mapping.base)), address: $0.address, size: UInt64($0.mapping.count), isReadOnly: true)
    }
  }
}

/// Puts a kernel or a firmware where the processor starts.
struct GuestLoader {
  let configuration: VMConfiguration
  let board: X86Board
  let map: X86AddressMap
  let memory: GuestMemory

  func load() throws -> LoadedGuest {
    switch configuration.boot {
    case .kernel(let kernel): LoadedGuest(entry: try load(kernel), firmware: nil)
    case .firmware(let path): try loadFirmware(path)
    }
  }

  private func load(_ kernel: KernelConfiguration) throws -> BootEntry {
    let image = try Self.open(kernel.path)
    let initramfs = try kernel.initramfs.map { path in (path, FileHandle(try Self.open(path))) }
    var commandLine = KernelCommandLine()
    for word in configuration.kernelParameters { try commandLine.append(word) }
    let boot = KernelBoot(
      kernel: BootFile(descriptor: image.number, name: kernel.path),
      initramfs: initramfs.map { BootFile(descriptor: $0.1.number, name: $0.0) }, commandLine: commandLine)
    return try withExtendedLifetime(initramfs) { try prepareKernelBoot(boot, board: board, map: map, memory: memory) }
  }

  private func loadFirmware(_ path: String) throws -> LoadedGuest {
    let image = try Self.open(path)
    let placement = try FirmwarePlacement(file: BootFile(descriptor: image.number, name: path))
    let addresses = placement.image.addresses
    let mapping = try MemoryMapping.map(
      descriptor: image.number, offset: Int(placement.image.fileOffset), count: Int(addresses.upperBound - addresses.lowerBound),
      sharing: .privateCopy)
    let low = placement.lowCopy
    try memory.readFile(
      descriptor: image.number, offset: low.fileOffset, count: low.addresses.upperBound - low.addresses.lowerBound,
      into: GuestAddress(low.addresses.lowerBound))
    return LoadedGuest(entry: .resetVector, firmware: (mapping, addresses.lowerBound))
  }

  private static func open(_ path: String) throws(SystemError) -> OwnedDescriptor {
    try OwnedDescriptor.open(path, flags: O_RDONLY)
  }

  /// A descriptor in an optional: noncopyable values do not fit there.
  private final class FileHandle {
    private let descriptor: OwnedDescriptor
    init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
    var number: Int32 { descriptor.number }
  }
}
