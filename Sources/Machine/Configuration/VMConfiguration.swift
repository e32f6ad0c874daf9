public import BasicDevices
public import BlockDevice
public import NetDevice
public import PlatformDevices
public import VsockDevice

/// Everything that a user decides about a virtual machine, as a value.
///
/// The command line is one way to make it; a program that embeds the library is another. Nothing happens on the host until the value is used.
public struct VMConfiguration: Sendable, Equatable {
  /// What the first virtual CPU starts: a kernel or a firmware.
  public var boot: BootSource

  /// The virtual CPUs.
  public var cpus: CPUConfiguration

  /// The guest's memory.
  public var memory: MemoryConfiguration

  /// The disks, in the order in which the guest finds them: the first is `/dev/vda`.
  public var disks: [BlockConfiguration]

  /// The persistent memory devices, in the order in which the guest finds them: the first is `/dev/pmem0`.
  public var persistentMemory: [PmemConfiguration]

  /// The network cards, in the order in which the guest finds them.
  public var networkCards: [NetConfiguration]

  /// The serial ports that the user names.
  ///
  /// `completeSerialPorts` has those of the defaults too.
  public var serialPorts: [SerialConfiguration]

  /// Whether the guest has a virtio entropy device.
  public var hasEntropyDevice: Bool

  /// Whether the guest has a virtio memory balloon.
  public var hasBalloon: Bool

  /// Sockets between guest and host, `nil` for none.
  public var vsock: VsockConfiguration?

  /// Whether the guest has a PC's keyboard controller, with which it can reset the machine.
  public var hasI8042: Bool

  /// Whether the guest has a PC's real-time clock.
  public var hasRTC: Bool

  /// Whether a text is printable ASCII without spaces, and not empty.
  private func isWord(_ text: String) -> Bool { !text.isEmpty && text.utf8.allSatisfy { (0x21...0x7e).contains($0) } }

  /// Who emulates the interrupt controllers.
  public var interruptController: InterruptControllerMode

  /// The name under which messages go to the system log, `nil` for the name of the program.
  public var syslogTag: String?

  /// Whether each device runs jailed in a process of its own.
  public var isSandboxed: Bool

  /// Where the policies of allowed system calls are read from, instead of those in the program; `nil` for the latter.
  public var seccompPolicyDirectory: String?

  /// Whether a system call that a policy forbids is written to the kernel's log and done, and not refused with the end of the machine.
  public var logsSeccompFailures: Bool

  /// Whether a kernel is started even where the host's KVM is para-virtual, on which only kernels run that were made for it.
  public var allowsParavirtualHost: Bool

  /// Where the control socket is made, `nil` for none; in a directory it is called `crosvm-PID.sock`.
  public var controlSocket: String?

  /// What the user calls the machine, for lists and messages; printable ASCII without spaces, at most 64 characters.
  public var name: String?

  /// Makes a machine with one CPU, 256 MiB of memory, no disks, and a console on the standard streams.
  ///
  /// - Parameter boot: What the first virtual CPU starts.
  public init(boot: BootSource) {
    self.boot = boot
    cpus = CPUConfiguration()
    memory = MemoryConfiguration()
    disks = []
    persistentMemory = []
    networkCards = []
    serialPorts = []
    hasEntropyDevice = true
    hasBalloon = true
    hasI8042 = true
    hasRTC = true
    interruptController = .kernel
    syslogTag = nil
    isSandboxed = true
    logsSeccompFailures = false
    allowsParavirtualHost = false
  }

  /// How many devices the PCI bus has room for: 32 slots, of which the host bridge takes the first.
  public static let pciDeviceLimit = 31

  /// How many PCI devices the machine has, besides the host bridge.
  public var pciDeviceCount: Int {
    disks.count + persistentMemory.count + networkCards.count + serialPorts.count { $0.hardware == .virtioConsole }
      + (hasEntropyDevice ? 1 : 0) + (hasBalloon ? 1 : 0) + (vsock == nil ? 0 : 1)
  }

  /// Checks every value, what they say together, and that the files they name can be opened.
  ///
  /// - Throws: The first thing that is wrong.
  public func validate() throws(ConfigurationError) {
    try boot.validate()
    try cpus.validate()
    try memory.validate()
    try validateDisks()
    try validateNetworkCards()
    try validateSerialPorts()
    try validateSockets()
    guard pciDeviceCount <= VMConfiguration.pciDeviceLimit else {
      throw .pciDeviceCount(pciDeviceCount)
    }
    if let name {
      guard name.utf8.count <= 64, isWord(name) else { throw .name(name) }
    }
    if let syslogTag {
      guard isWord(syslogTag) else { throw .syslogTag(syslogTag) }
    }
  }
}

/// Who emulates the interrupt controllers of the machine.
public enum InterruptControllerMode: String, Sendable, CaseIterable {
  /// The kernel emulates all of them. The fastest.
  case kernel
  /// The kernel emulates the local APICs; the IOAPIC and the PIT are emulated in the process, and there is no PIC. Less kernel code faces the guest.
  case split
}
