public import BlockDevice
public import NetDevice
public import PlatformDevices
public import VsockDevice

/// What is wrong with a `VMConfiguration`.
public enum ConfigurationError: Error, Equatable, CustomStringConvertible {
  /// What a file is for.
  public enum FileRole: String, Sendable {
    /// The kernel to start.
    case kernel
    /// The initial RAM file system.
    case initramfs
    /// The firmware to start.
    case firmware
    /// The image of a disk.
    case disk = "disk image"
    /// The image of a persistent memory device.
    case persistentMemory = "persistent memory image"
    /// Where a serial port writes.
    case serialOutput = "serial output file"
    /// Where host programs connect to the guest.
    case guestSocket = "socket of the guest"
  }

  /// Why a file cannot be used.
  public enum FileProblem: Error, Equatable {
    /// The path is the empty string.
    case emptyPath
    /// There is nothing at the path.
    case missing
    /// A directory of the path is missing.
    case missingDirectory
    /// The path is that of a directory.
    case directory
    /// It is neither a regular file nor, where that would do, a block device.
    case unsuitable
    /// The process may not read it.
    case unreadable
    /// The process may not write it.
    case unwritable
    /// The path cannot be looked up; the number is the system's error.
    case unreachable(errno: Int32)
  }

  /// A file cannot be used.
  case file(FileRole, path: String, FileProblem)
  /// A kernel parameter has a character that no command line can carry.
  case kernelParameters(String)
  /// There are too few or too many virtual CPUs.
  case cpuCount(Int)
  /// The affinity names a virtual CPU that the machine does not have.
  case affinityOfMissingCPU(Int, count: Int)
  /// An affinity set allows no CPU.
  case emptyAffinity
  /// No host can have a CPU of that number.
  case hostCPU(Int, usable: Set<Int>)
  /// The memory is too small or too large.
  case memorySize(UInt64)
  /// The memory is not a whole number of pages.
  case memoryAlignment(UInt64)
  /// A disk is wrong in itself.
  case disk(path: String, BlockConfigurationError)
  /// Two disks, or persistent memory devices, are to be the root.
  case twoRootDisks(String, String)
  /// The root disk has no letter: only the first 26 disks are `/dev/vda` to `/dev/vdz`.
  case rootDiskPosition(path: String, index: Int)
  /// Two disks, or persistent memory devices, that lock are the same file, and one of them may be written.
  case diskUsedTwice(String, String)
  /// A network card, counted from zero, is wrong in itself.
  case networkCard(Int, NetConfigurationError)
  /// Two network cards are to have the same tap; its name, or its descriptor.
  case tapUsedTwice(String)
  /// The tap of a network card, counted from zero, is not there.
  case tap(Int, TapError)
  /// Two taps are to be made with the same address of the host.
  case addressUsedTwice(IPv4Address)
  /// Two network cards are to listen at the same port of the host.
  case portForwardedTwice(UInt16)
  /// The control socket would have the path of one of the guest's sockets.
  case socketUsedTwice(String)
  /// Two network cards are to have the same MAC address.
  case macUsedTwice(MACAddress)
  /// A serial port is wrong in itself.
  case serial(SerialConfigurationError)
  /// Two serial ports have the same hardware and number.
  case serialNumberUsedTwice(SerialConfiguration.Hardware, Int)
  /// Two serial ports are to be the console.
  case twoConsoles(String, String)
  /// Two serial ports are to be the early console.
  case twoEarlyConsoles(String, String)
  /// Two serial ports are to read the standard input.
  case twoReadersOfStandardInput(String, String)
  /// A serial port is to write to a file that the machine also reads.
  case outputIsInput(String)
  /// The sockets between guest and host are wrong in themselves.
  case vsock(VsockConfigurationError)
  /// The devices do not fit the PCI bus.
  case pciDeviceCount(Int)
  /// The machine's name is empty, too long, or has characters that do not belong there.
  case name(String)
  /// The tag for the system log is empty or has characters that do not belong there.
  case syslogTag(String)

  /// One line: what is wrong, with the value, and what to do.
  public var description: String {
    switch self {
    case .file(let role, let path, let problem): "the \(role.rawValue) \(path.debugDescription) \(problem.text(for: role))"
    case .kernelParameters(let text): "the kernel parameters \(text.debugDescription) have a line end or a zero; give them as one line"
    case .cpuCount(let count): "\(count) CPUs are not possible; give 1 to \(CPUConfiguration.counts.upperBound)"
    case .affinityOfMissingCPU(let cpu, let count):
      "the affinity names virtual CPU \(cpu), but there are \(count), numbered from 0; give more CPUs or drop it"
    case .emptyAffinity: "an affinity set is empty; name at least one CPU of the host"
    case .hostCPU(let cpu, let usable):
      "the affinity names CPU \(cpu) of the host, which this process may not use; give some of \(ranges(usable))"
    case .memorySize(let size): "\(byteCount(size)) of memory are not possible; give 16 MiB to 4 TiB"
    case .memoryAlignment(let size): "\(size) bytes of memory are not a whole number of pages; give a multiple of 4096"
    case .disk(let path, let error): "the disk \(path.debugDescription): \(error)"
    case .twoRootDisks(let first, let second):
      "both \(first.debugDescription) and \(second.debugDescription) are to be the root disk; choose one"
    case .rootDiskPosition(let path, let index):
      "the root disk \(path.debugDescription) is disk \(index + 1), and device letters end after the 26th; name it earlier"
    case .diskUsedTwice(let first, let second):
      "the disks \(first.debugDescription) and \(second.debugDescription) are the same file, and one may write it; "
        + "make both read-only or give one a copy"
    case .networkCard(let index, let error): "network card \(index): \(error)"
    case .tap(let index, let error): "network card \(index): \(error)"
    case .addressUsedTwice(let address):
      "the host is to have the address \(address) on two taps; give each network card a network of its own"
    case .portForwardedTwice(let port):
      "the host's port \(port) is forwarded by two network cards; give another port"
    case .socketUsedTwice(let path):
      "both the control socket and the sockets of the guest are to be at \(path.debugDescription); give one of them another path"
    case .tapUsedTwice(let tap): "two network cards are to use the \(tap); give each a tap of its own"
    case .macUsedTwice(let mac): "two network cards are to have the MAC address \(mac); give each another one"
    case .serial(let error): "\(error)"
    case .serialNumberUsedTwice(let hardware, let number):
      "there are two serial ports with hardware=\(hardware.rawValue) and num=\(number); give each another number"
    case .twoConsoles(let first, let second): "both \(first) and \(second) are to be the console; choose one"
    case .twoEarlyConsoles(let first, let second): "both \(first) and \(second) are to be the early console; choose one"
    case .twoReadersOfStandardInput(let first, let second): "both \(first) and \(second) are to read the standard input; choose one"
    case .outputIsInput(let path):
      "the serial output \(path.debugDescription) is also a disk, kernel or other file of this machine; give another file"
    case .vsock(let error): "the sockets of the guest: \(error)"
    case .pciDeviceCount(let count):
      "there are \(count) PCI devices, and the bus has room for \(VMConfiguration.pciDeviceLimit); use fewer disks, network cards or consoles"
    case .name(let name):
      "the name \(name.debugDescription) is not a word of at most 64 characters; give printable ASCII characters without spaces"
    case .syslogTag(let tag): "the syslog tag \(tag.debugDescription) is not a word; give printable ASCII characters without spaces"
    }
  }
}

extension ConfigurationError.FileProblem {
  /// The rest of a sentence that begins with the file: what is wrong and what to do.
  fileprivate func text(for role: ConfigurationError.FileRole) -> String {
    switch self {
    case .emptyPath: "has an empty path; give the path of a file"
    case .missing: "does not exist; check the path"
    case .missingDirectory: "lies in a directory that does not exist; create it or check the path"
    case .directory: "is a directory; give the path of a file"
    case .unsuitable where role == .disk || role == .persistentMemory: "is neither a regular file nor a block device; give one of them"
    case .unsuitable: "is not a regular file; give the path of one, or copy into one what can be read from it"
    case .unreadable: "cannot be read; change its permissions or run as another user"
    case .unwritable where role == .disk: "cannot be written; change its permissions or let the guest only read it (ro, --disk)"
    case .unwritable where role == .persistentMemory:
      "cannot be written; change its permissions or let the guest only read it (ro, --pmem-device)"
    case .unwritable: "cannot be written; change its permissions or give another path"
    case .unreachable(let number): "cannot be looked up: \(systemErrorText(number)); check the path"
    }
  }
}

/// A size in the largest unit that shows it whole.
private func byteCount(_ size: UInt64) -> String {
  let units: [(shift: UInt64, name: String)] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")]
  for unit in units where size != 0 && size.isMultiple(of: 1 << unit.shift) {
    return "\(size >> unit.shift) \(unit.name)"
  }
  return "\(size) bytes"
}

/// Numbers as an option takes them: `0-3,6`.
private func ranges(_ numbers: Set<Int>) -> String {
  var ranges: [ClosedRange<Int>] = []
  for number in numbers.sorted() {
    if let last = ranges.last, last.upperBound + 1 == number {
      ranges[ranges.count - 1] = last.lowerBound...number
    } else {
      ranges.append(number...number)
    }
  }
  return ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }.joined(separator: ",")
}
