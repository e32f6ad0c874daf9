public import GuestMemory

/// Why a guest could not be prepared for its start. Each case names what failed and carries the values for its message.
public enum BootError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The kernel file cannot be used.
  case kernel(file: String, KernelProblem)
  /// The initial file system cannot be used.
  case initramfs(file: String, InitramfsProblem)
  /// The firmware image cannot be used.
  case firmware(file: String, FirmwareProblem)
  /// The kernel command line cannot be passed on.
  case commandLine(CommandLineProblem)
  /// RAM and devices cannot be laid out in guest-physical memory.
  case addressMap(AddressMapProblem)
  /// A table that describes the machine to the kernel cannot be made.
  case tables(TableProblem)
  /// Writing the guest's memory failed.
  case memory(GuestMemoryError)

  /// The message for the user.
  public var description: String {
    switch self {
    case .kernel(let file, let problem): "the kernel \(file.debugDescription) \(problem)"
    case .initramfs(let file, let problem): "the initramfs \(file.debugDescription) \(problem)"
    case .firmware(let file, let problem): "the firmware \(file.debugDescription) \(problem)"
    case .commandLine(let problem): "kernel command line: \(problem)"
    case .addressMap(let problem): "memory: \(problem)"
    case .tables(let problem): "machine description: \(problem)"
    case .memory(let error): "preparing guest memory: \(error)"
    }
  }
}

/// Why RAM and devices cannot be laid out in guest-physical memory.
public enum AddressMapProblem: Error, Equatable, Sendable, CustomStringConvertible {
  /// Less RAM than the first MiB, which holds the tables, takes.
  case tooSmall(bytes: UInt64)
  /// The amount of RAM is not a whole number of pages.
  case notPages(bytes: UInt64)
  /// RAM and a window for 64-bit BARs do not fit under the host's physical address limit.
  case tooLarge(bytes: UInt64, limit: UInt64)
  /// Persistent memory, up to the image with that index, does not fit between RAM and the host's physical address limit, with the PCI
  /// window above it.
  case noRoomForPersistentMemory(index: Int, limit: UInt64)
  /// The number of physical address bits is none that a processor has.
  case badAddressBits(Int)

  /// The message for the user.
  public var description: String {
    switch self {
    case .tooSmall(let bytes): "\(bytes) bytes of RAM are too few; give the guest at least 1 MiB, and a Linux kernel some 64 MiB"
    case .notPages(let bytes): "\(bytes) bytes of RAM are not a multiple of 4096; give whole MiB"
    case .tooLarge(let bytes, let limit):
      "\(mebibytes(bytes)) MiB of RAM and the PCI windows do not fit into the \(mebibytes(limit)) MiB that this host's processor can address; give less"
    case .noRoomForPersistentMemory(let index, let limit):
      "image \(index) of persistent memory does not fit into the \(mebibytes(limit)) MiB that this host's processor can address"
    case .badAddressBits(let bits): "\(bits) physical address bits; an x86-64 processor has 36 to 52"
    }
  }
}

/// Why a table that describes the machine cannot be made.
public enum TableProblem: Error, Equatable, Sendable, CustomStringConvertible {
  /// The table does not fit where it belongs.
  case tooLarge(table: String, bytes: Int, space: Int)
  /// The number of vCPUs is not one the tables can describe.
  case badProcessorCount(Int, maximum: Int)
  /// An interrupt leads to an input that the I/O APIC does not have.
  case badInterrupt(UInt32, inputs: Int)

  /// The message for the user.
  public var description: String {
    switch self {
    case .tooLarge(let table, let bytes, let space):
      "the \(table) takes \(bytes) bytes and its place has \(space); use fewer vCPUs or devices"
    case .badProcessorCount(let count, let maximum): "\(count) vCPUs; give 1 to \(maximum)"
    case .badInterrupt(let gsi, let inputs): "interrupt \(gsi) is not one of the I/O APIC's \(inputs) inputs"
    }
  }
}

/// A size in MiB, rounded up.
func mebibytes(_ bytes: UInt64) -> UInt64 { (bytes >> 20) + (bytes & 0xfffff == 0 ? 0 : 1) }

/// A value in hexadecimal, as addresses and magic numbers are written.
func hex(_ value: some BinaryInteger) -> String { "0x" + String(value, radix: 16) }
