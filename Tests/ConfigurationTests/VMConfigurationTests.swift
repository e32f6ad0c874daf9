import BasicDevices
import BlockDevice
import Glibc
import Machine
import NetDevice
import Platform
import PlatformDevices
import Testing
import VsockDevice

struct VMConfigurationTests {
  let directory = TemporaryDirectory()
  let kernel: String

  init() {
    kernel = directory.file("kernel")
  }

  private func machine(_ change: (inout VMConfiguration) -> Void = { _ in }) -> VMConfiguration {
    var configuration = VMConfiguration(boot: .kernel(KernelConfiguration(path: kernel)))
    change(&configuration)
    return configuration
  }

  /// Expects one line that holds all the words.
  private func expect(
    _ configuration: VMConfiguration, toFailWith words: String..., sourceLocation: SourceLocation = #_sourceLocation
  ) {
    do {
      try configuration.validate()
      Issue.record("accepted", sourceLocation: sourceLocation)
    } catch {
      let line = "\(error)"
      #expect(!line.contains("\n"), sourceLocation: sourceLocation)
      for word in words {
        #expect(line.contains(word), "\(line)", sourceLocation: sourceLocation)
      }
    }
  }

  @Test func defaultsAreTheOriginals() throws {
    let configuration = machine()
    try configuration.validate()
    #expect(configuration.memory.size == 256 << 20)
    #expect(configuration.cpus == CPUConfiguration(count: 1))
    #expect(configuration.hasEntropyDevice && configuration.hasI8042 && configuration.hasRTC && configuration.isSandboxed)
    #expect(configuration.interruptController == .kernel)
    #expect(configuration.pciDeviceCount == 2)
  }

  @Test func aKernelThatIsNotThereIsNamed() {
    expect(VMConfiguration(boot: .kernel(.init(path: "/no/such"))), toFailWith: "kernel", "\"/no/such\"", "does not exist")
    expect(VMConfiguration(boot: .firmware(path: "/no/such")), toFailWith: "firmware", "does not exist")
    expect(VMConfiguration(boot: .kernel(.init(path: "/"))), toFailWith: "\"/\" is a directory")
    expect(VMConfiguration(boot: .kernel(.init(path: ""))), toFailWith: "empty path")
    expect(VMConfiguration(boot: .kernel(.init(path: "/dev/null"))), toFailWith: "regular file")
    expect(VMConfiguration(boot: .kernel(.init(path: kernel + "/x"))), toFailWith: "cannot be looked up")
    expect(VMConfiguration(boot: .kernel(.init(path: kernel, initramfs: "/no/such"))), toFailWith: "initramfs", "does not exist")
  }

  @Test func aLineEndInTheKernelParametersIsRefused() {
    expect(VMConfiguration(boot: .kernel(.init(path: kernel, parameters: ["a", "b\nc"]))), toFailWith: "\"b\\nc\"")
  }

  @Test(arguments: [Int.min, -1, 0, 33, Int.max])
  func otherCPUCountsAreRefused(count: Int) {
    expect(machine { $0.cpus.count = count }, toFailWith: "\(count) CPUs", "1 to 32")
  }

  @Test func affinityNamesWhatExists() throws {
    let first = try #require(PThread.affinity.min())
    try machine { $0.cpus = .init(count: 2, affinity: .each([0: PThread.affinity, 1: [first]])) }.validate()
    expect(machine { $0.cpus = .init(count: 2, affinity: .each([2: [0]])) }, toFailWith: "virtual CPU 2", "there are 2")
    expect(machine { $0.cpus.affinity = .all([]) }, toFailWith: "empty")
    expect(machine { $0.cpus.affinity = .all([1024]) }, toFailWith: "CPU 1024", "may not use; give some of ")
    #expect(CPUAffinity.all([1])[7] == [1])
    #expect(CPUAffinity.each([1: [3]])[1] == [3])
    #expect(CPUAffinity.each([1: [3]])[0] == nil)
  }

  @Test(arguments: [0, 1 << 20, (16 << 20) - 4096, (4 << 40) + 4096, UInt64.max, UInt64.max - 4095] as [UInt64])
  func absurdMemoryIsRefused(size: UInt64) {
    expect(machine { $0.memory.size = size }, toFailWith: "16 MiB to 4 TiB")
  }

  @Test func memoryIsWholePages() throws {
    expect(machine { $0.memory.size = (16 << 20) + 1 }, toFailWith: "multiple of 4096")
    try machine { $0.memory.size = 16 << 20 }.validate()
    try machine { $0.memory.size = 4 << 40 }.validate()
  }

  @Test func twentySixDisksAndNoMoreThan31Devices() throws {
    let image = directory.file("disk")
    let disks = (0..<40).map { _ in BlockConfiguration(path: image, isReadOnly: true) }
    try machine { $0.disks = Array(disks.prefix(26)) }.validate()
    try machine { $0.disks = Array(disks.prefix(29)) }.validate()
    expect(machine { $0.disks = Array(disks.prefix(30)) }, toFailWith: "32 PCI devices", "31")
    try machine {
      $0.disks = Array(disks.prefix(31))
      $0.hasEntropyDevice = false
      $0.hasBalloon = false
    }.validate()
    expect(
      machine {
        $0.disks = Array(disks.prefix(29))
        $0.serialPorts = [SerialConfiguration(hardware: .virtioConsole)]
      }, toFailWith: "32 PCI devices")
  }

  @Test func theRootDiskHasALetter() throws {
    let image = directory.file("disk")
    var disks = (0..<26).map { _ in BlockConfiguration(path: image, isReadOnly: true) }
    disks[25].isRoot = true
    let configuration = machine { $0.disks = disks }
    try configuration.validate()
    #expect(configuration.kernelParameters == ["console=ttyS0,115200n8r", "reboot=k", "panic=-1", "root=/dev/vdz", "ro"])
    disks.insert(BlockConfiguration(path: image, isReadOnly: true), at: 0)
    expect(machine { $0.disks = disks }, toFailWith: "disk 27", "26th")
    disks[3].isRoot = true
    expect(machine { $0.disks = disks }, toFailWith: "root disk", "choose one")
    #expect(VMConfiguration.diskName(0) == "/dev/vda")
    #expect(VMConfiguration.diskName(-1) == nil && VMConfiguration.diskName(26) == nil)
  }

  @Test func diskFilesAreLookedAt() throws {
    let image = directory.file("disk")
    expect(machine { $0.disks = [.init(path: "/no/such")] }, toFailWith: "disk image \"/no/such\" does not exist")
    expect(machine { $0.disks = [.init(path: "/tmp")] }, toFailWith: "disk image \"/tmp\" is a directory")
    expect(machine { $0.disks = [.init(path: "/dev/null")] }, toFailWith: "block device")
    expect(machine { $0.disks = [.init(path: image), .init(path: image, isReadOnly: true)] }, toFailWith: "same file")
    try machine { $0.disks = [.init(path: image, isReadOnly: true), .init(path: image, isReadOnly: true)] }.validate()
    var shared = BlockConfiguration(path: image)
    shared.isLocked = false
    try machine { $0.disks = [shared, .init(path: image)] }.validate()
    var odd = BlockConfiguration(path: image)
    odd.queueCount = 0
    expect(machine { $0.disks = [odd] }, toFailWith: image, "0 queues")
  }

  @Test func persistentMemoryIsLookedAt() throws {
    let image = directory.file("pmem")
    expect(machine { $0.persistentMemory = [.init(path: "")] }, toFailWith: "persistent memory image \"\" has an empty path")
    expect(machine { $0.persistentMemory = [.init(path: "/no/such")] }, toFailWith: "persistent memory image \"/no/such\" does not exist")
    expect(machine { $0.persistentMemory = [.init(path: "/tmp")] }, toFailWith: "\"/tmp\" is a directory")
    expect(machine { $0.persistentMemory = [.init(path: "/dev/null")] }, toFailWith: "neither a regular file nor a block device")
    expect(machine { $0.persistentMemory = [.init(path: image), .init(path: image)] }, toFailWith: "same file")
    expect(
      machine {
        $0.disks = [.init(path: image, isReadOnly: true)]
        $0.persistentMemory = [.init(path: image)]
      }, toFailWith: "same file")
    try machine { $0.persistentMemory = [.init(path: image, isReadOnly: true), .init(path: image, isReadOnly: true)] }.validate()
    expect(
      machine {
        $0.persistentMemory = [.init(path: image)]
        $0.serialPorts = [SerialConfiguration(backend: .file(path: image))]
      }, toFailWith: "serial output")
    #expect(machine { $0.persistentMemory = [.init(path: image)] }.pciDeviceCount == 3)
  }

  @Test func persistentMemoryCanBeTheRoot() throws {
    let image = directory.file("pmem")
    let other = PmemConfiguration(path: directory.file("other"), isReadOnly: true)
    let root = PmemConfiguration(path: image, isRoot: true)
    let configuration = machine { $0.persistentMemory = [other, root] }
    try configuration.validate()
    #expect(configuration.kernelParameters.suffix(2) == ["root=/dev/pmem1", "rw"])
    let readOnly = machine { $0.persistentMemory = [.init(path: image, isReadOnly: true, isRoot: true)] }
    #expect(readOnly.kernelParameters.suffix(2) == ["root=/dev/pmem0", "ro"])
    expect(
      machine {
        $0.disks = [.init(path: directory.file("disk"), isRoot: true)]
        $0.persistentMemory = [root]
      }, toFailWith: "root disk", "choose one")
  }

  @Test(.disabled(if: geteuid() == 0, "root may read everything")) func filesWithoutPermissionAreNamed() {
    let image = directory.file("disk", mode: 0)
    expect(machine { $0.disks = [.init(path: image)] }, toFailWith: "cannot be read")
    expect(VMConfiguration(boot: .kernel(.init(path: image))), toFailWith: "cannot be read")
  }

  @Test func networkCardsShareNothing() throws {
    let tap = { NetConfiguration(.tap(name: $0)) }
    #expect(machine { $0.networkCards = [tap("a"), tap("b")] }.pciDeviceCount == 4)
    expect(machine { $0.networkCards = [tap("a"), tap("b"), tap("a")] }, toFailWith: "two network cards", "tap a; give")
    let descriptors = [NetConfiguration(.descriptor(5)), NetConfiguration(.descriptor(5))]
    expect(machine { $0.networkCards = descriptors }, toFailWith: "two network cards", "descriptor 5")
    var many = tap("b")
    many.pairCount = 17
    expect(machine { $0.networkCards = [tap("a"), many] }, toFailWith: "network card 1: 17 pairs", "give 1 to 16")
    var (first, second) = (tap("a"), tap("b"))
    first.mac = MACAddress(rawValue: 0x02_00_00_00_00_01)
    second.mac = first.mac
    expect(machine { $0.networkCards = [first, second] }, toFailWith: "MAC address 02:00:00:00:00:01")
    expect(machine { $0.networkCards = [tap("no-such-tap0")] }, toFailWith: "network card 0", "\"no-such-tap0\"", "ip tuntap add")
    var wide = tap("no-such-tap0")
    wide.pairCount = 2
    expect(machine { $0.networkCards = [wide] }, toFailWith: "mode tap multi_queue user")
  }

  @Test func networkCardsShareNothingOfTheHost() throws {
    let mask = try #require(IPv4Address("255.255.255.0"))
    func host(_ text: String) throws -> NetConfiguration { .init(.host(address: try #require(IPv4Address(text)), netmask: mask)) }
    let cards = [try host("10.0.0.1"), try host("10.0.1.1"), try host("10.0.0.1")]
    expect(machine { $0.networkCards = cards }, toFailWith: "10.0.0.1 on two taps")
    for address in ["0.0.0.1", "10.0.0.0", "10.0.0.255", "224.0.0.1", "255.255.255.255"] {
      let card = try host(address)
      expect(machine { $0.networkCards = [card] }, toFailWith: "network card 0: the host address \(address)", "like 10.0.0.1")
    }
    func user(_ transport: PortForward.Transport, _ port: UInt16) -> NetConfiguration {
      .init(.user(forwards: [PortForward(transport, hostPort: port, guestPort: 80)]))
    }
    expect(
      machine { $0.networkCards = [user(.tcp, 8080), user(.udp, 8080), user(.tcp, 8080)] }, toFailWith: "port 8080", "two network cards")
    try machine { $0.networkCards = [user(.tcp, 8080), user(.udp, 8080)] }.validate()
    func at(_ address: String) -> NetConfiguration {
      .init(.user(forwards: [PortForward(.tcp, address: IPv4Address(address), hostPort: 8080, guestPort: 80)]))
    }
    try machine { $0.networkCards = [at("127.0.0.1"), at("127.0.0.2")] }.validate()
    expect(machine { $0.networkCards = [at("127.0.0.1"), at("127.0.0.1")] }, toFailWith: "port 8080")
    expect(machine { $0.networkCards = [at("127.0.0.1"), user(.tcp, 8080)] }, toFailWith: "port 8080")
  }

  @Test func theGuestsSocketsHaveAPlaceOfTheirOwn() throws {
    let vsock = { VsockConfiguration(context: 3, backend: .socket(path: $0)) }
    expect(machine { $0.vsock = vsock("/no/such/folder/s") }, toFailWith: "/no/such/folder/s", "directory that does not exist")
    for suffix in ["", ".seqpacket"] {
      expect(
        machine { ($0.vsock, $0.controlSocket) = (vsock("/tmp/s"), "/tmp/s" + suffix) }, toFailWith: "/tmp/s\(suffix)\"", "another path")
    }
    try machine { ($0.vsock, $0.controlSocket) = (vsock("/tmp/s"), "/tmp/c") }.validate()
  }

  @Test func theSyslogTagIsAWord() {
    for tag in ["", "a b", "é"] {
      expect(machine { $0.syslogTag = tag }, toFailWith: "syslog tag")
    }
  }

  @Test func kernelParametersComeInOrder() {
    let image = directory.file("disk")
    let configuration = machine {
      $0.boot = .kernel(.init(path: kernel, parameters: ["quiet", "", "init=/bin/sh x"]))
      $0.disks = [.init(path: image), .init(path: image, isRoot: true)]
      $0.serialPorts = [SerialConfiguration(number: 2, isConsole: true, isEarlyConsole: true)]
      $0.hasI8042 = false
    }
    #expect(
      configuration.kernelParameters == [
        "earlycon=uart8250,io,0x2f8", "console=ttyS1,115200n8r", "reboot=a", "panic=-1", "root=/dev/vdb", "rw", "quiet", "init=/bin/sh x",
      ])
    #expect(VMConfiguration(boot: .firmware(path: kernel)).kernelParameters.isEmpty)
  }
}
