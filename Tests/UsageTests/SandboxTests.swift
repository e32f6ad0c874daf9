import Glibc
import Testing

/// What the sandbox promises, looked at from the host.
@Suite(.enabled(if: Crosvm.hasKVM && Crosvm.hasNamespaces, "needs a usable /dev/kvm and namespaces"))
struct SandboxTests {
  let workplace = Workplace()
  private static let kinds = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"]

  init() {
    workplace.write("spins", Firmware.spins)
    workplace.write("looks", Firmware.looksAtADevice)
    workplace.write("resets", Firmware.resets)
    workplace.writeZeros("disk", count: 1 << 20)
    workplace.writeZeros("image", count: 2 << 20)
  }

  /// A machine with a device of each kind that needs neither privileges nor another program.
  private func start(_ guest: String = "spins", _ options: [String] = []) throws -> Crosvm {
    let machine = try Crosvm(["run"] + Self.devices + options + ["--bios", guest], in: workplace)
    if guest == "spins" { #expect(machine.waitForOutput("A")) }
    return machine
  }

  private static let devices = [
    "--rwdisk", "disk", "--rw-pmem-device", "image", "--serial", "type=file,path=console,hardware=virtio-console,num=2", "-s", "socket",
    "--vsock", "cid=3,socket=v.sock",
  ]
  private static let deviceNames: Set = ["block0", "pmem0", "rng", "console1", "balloon", "vsock"]
  /// What there is in the workplace while no machine runs.
  private static let files = ["disk", "image", "looks", "resets", "spins"]
  /// The sockets of such a machine.
  private static let sockets: Set = ["socket", "v.sock", "v.sock.seqpacket"]

  private var hasSockets: Bool { !Self.sockets.isDisjoint(with: workplace.names) }

  @Test func eachDeviceIsInARoomOfItsOwn() throws { try expectRooms(of: start(), Self.deviceNames) }

  @Test(.enabled(if: Tool.hasPasst, "needs the package passt")) func theUsersNetworkCardIsInARoomOfItsOwn() throws {
    try expectRooms(of: start("spins", ["--net", "user"]), Self.deviceNames.union(["user_net0"]))
  }

  /// More files, and longer names, than one packet between processes holds.
  @Test(arguments: [60, 200]) func aDiskOfManyFilesStarts(count: Int) throws {
    // cdisk_spec.proto: fields of bytes have the number's type 2, integers type 0; integers have seven bits a byte, lowest first.
    func varint(_ value: Int) -> [UInt8] { value < 128 ? [UInt8(value)] : [UInt8(value & 127) | 128] + varint(value >> 7) }
    func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] { [number << 3 | 2] + varint(bytes.count) + bytes }
    func field(_ number: UInt8, _ value: Int) -> [UInt8] { [number << 3] + varint(value) }
    var message = field(1, 2)
    for part in 0..<count {
      let name = String(repeating: "n", count: 240) + "\(part)"
      workplace.writeZeros(name, count: 4096)
      message += field(
        2, field(1, Array(String(repeating: "./", count: 300).utf8) + Array(name.utf8)) + field(2, part * 4096) + field(3, 1))
    }
    workplace.write("composite", Array("composite_disk\u{1d}".utf8) + message + field(3, count * 4096))
    let machine = try start("spins", ["--block", "composite,format=composite"])
    machine.send(SIGTERM)
    let ending = machine.end()
    #expect(ending.status == 0 && ending.errors.isEmpty && !ending.leavesProcesses, "\(ending)")
  }

  private func expectRooms(of machine: Crosvm, _ names: Set<String>) throws {
    // The machine does not wait for who keeps its sockets; each socket more has a new keeper in the place of the old one.
    let all = names.union(["crosvm", "socket keeper", "connector"])
    #expect(Crosvm.wait { machine.processes.count == names.count + 4 && Set(machine.processes.map(\.name)) == all })
    let devices = machine.processes.filter { names.contains($0.name) }
    #expect(devices.count == names.count)
    var rooms = Set<String>()
    for device in devices {
      for kind in Self.kinds {
        let room = device.link("ns/\(kind)")
        #expect(!room.isEmpty && room != ProcessLook(getpid()).link("ns/\(kind)"), "\(device.name): \(kind)")
        #expect(rooms.insert(room).inserted, "\(device.name) shares its \(kind) namespace")
      }
      #expect(device.status("Seccomp") == "2" && device.status("NoNewPrivs") == "1")
      for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] { #expect(device.status(set) == "0000000000000000", "\(set)") }
      #expect(device.status("NSpid")?.split(separator: "\t").last == "1")
      // Of root nothing is left either.
      #expect(geteuid() != 0 || device.status("Uid") == "65534\t65534\t65534\t65534")
      #expect(device.entries("root").isEmpty)
      #expect(device.hasReadOnlyRoot)
      #expect(device.limit("Max core file size") == "0")
      let descriptors = min(device.name == "vsock" ? 8768 : 512, ProcessLook(getpid()).limit("Max open files").flatMap { Int($0) } ?? .max)
      #expect(device.limit("Max open files") == "\(descriptors)")
      // Where the kernel counts them for each user namespace.
      #expect(["64", ProcessLook(getpid()).limit("Max processes")].contains(device.limit("Max processes")))
    }
    machine.send(SIGTERM)
    let ending = machine.end()
    #expect(ending.status == 0 && ending.errors.isEmpty && !ending.leavesProcesses)
  }

  /// The tables of a disk may take what its user granted them.
  @Test func aLargeCacheFitsInTheSandbox() throws {
    #expect(try Crosvm.run(["create_qcow2", "large", "64T"], in: workplace).status == 0)
    let machine = try start("spins", ["--block", "large,cache-size=1G"])
    let disk = try #require(machine.processes.first { $0.name == "block1" })
    let plain = try #require(machine.processes.first { $0.name == "block0" })
    let limits = [disk, plain].compactMap { $0.limit("Max address space").flatMap { UInt64($0) } }
    #expect(limits.count == 2 && limits[0] - limits[1] == (1 << 30) - (7 << 20), "\(limits)")
    machine.send(SIGTERM)
    let ending = machine.end()
    #expect(ending.status == 0 && ending.errors.isEmpty, "\(ending)")
  }

  /// Two sockets (one of them also the standard error), the guest's memory, events, the loop; and what the device is for.
  @Test func aDeviceHasTheDescriptorsThatItNeeds() throws { try expectDescriptors(of: start(), Self.deviceNames) }

  @Test(.enabled(if: Tool.hasPasst, "needs the package passt")) func theUsersNetworkCardHasTheDescriptorsThatItNeeds() throws {
    try expectDescriptors(of: start("spins", ["--net", "user"]), ["user_net0"])
  }

  private func expectDescriptors(of machine: Crosvm, _ names: Set<String>) throws {
    let own = ["block0": "disk", "pmem0": "image", "console1": "console"].mapValues { workplace.path + "/" + $0 }
    // Two at which host programs connect, and one to the connector; one to passt.
    let ownSockets = ["vsock": 3, "user_net0": 1]
    let devices = machine.processes.filter { names.contains($0.name) }
    #expect(devices.count == names.count)
    for device in devices {
      var rest = device.entries("fd").map { device.link("fd/\($0)") }
      func remove(_ count: Int, _ matches: (String) -> Bool) {
        for _ in 0..<count {
          if let index = rest.firstIndex(where: matches) { rest.remove(at: index) } else { Issue.record("\(device.name) lacks one") }
        }
      }
      remove(2) { $0.hasSuffix("/null") }
      remove(3 + (ownSockets[device.name] ?? 0)) { $0.hasPrefix("socket:") }
      remove(1) { $0.hasPrefix("/memfd:crosvm-guest") }
      remove(1) { $0 == "anon_inode:[eventpoll]" }
      if let file = own[device.name] { remove(1) { $0 == file } }
      // Where the kernel has them.
      if device.name == "block0" { rest.removeAll { $0 == "anon_inode:[io_uring]" } }
      rest.removeAll { $0 == "anon_inode:[eventfd]" }
      #expect(rest.isEmpty, "\(device.name): \(rest)")
    }
    machine.send(SIGTERM)
    #expect(machine.end().status == 0)
  }

  @Test func theMachineItselfIsConfined() throws {
    let machine = try start("spins", ["-c", "2"])
    // A thread has its name and its filters some time after its start.
    #expect(Crosvm.wait { machine.look.threads.filter { $0.name.hasPrefix("vcpu") && $0.status("Seccomp_filters") == "2" }.count == 2 })
    let threads = machine.look.threads
    // KVM puts a thread of the kernel beside them.
    for thread in threads where !thread.name.hasPrefix("kvm-") {
      #expect(thread.status("Seccomp") == "2" && thread.status("NoNewPrivs") == "1" && thread.status("CapEff") == "0000000000000000")
      #expect(thread.status("CapBnd") == "0000000000000000" || geteuid() != 0)
      // Processors obey two filters.
      if let filters = thread.status("Seccomp_filters") { #expect(filters == (thread.name.hasPrefix("vcpu") ? "2" : "1")) }
    }
    machine.send(SIGTERM)
    #expect(machine.end().status == 0)
  }

  @Test func withoutTheSandboxThereIsOneProcess() throws {
    let machine = try start("spins", ["--disable-sandbox"])
    #expect(machine.processes.count == 1)
    machine.send(SIGTERM)
    #expect(machine.end().status == 0)
  }

  @Test(arguments: deviceNames.sorted())
  func aDeviceThatDiesEndsTheMachine(name: String) throws {
    try expectEnd(of: start(), withTheDeathOf: name)
  }

  @Test(.enabled(if: Tool.hasPasst, "needs the package passt")) func aUsersNetworkCardThatDiesEndsTheMachine() throws {
    // By its MTU this machine's passt is told from others.
    let machine = try start("spins", ["--net", "user,mtu=1361"])
    #expect(Passts.count(mtu: 1361) == 1)
    try expectEnd(of: machine, withTheDeathOf: "user_net0")
    #expect(Crosvm.wait { Passts.count(mtu: 1361) == 0 })
  }

  private func expectEnd(of machine: Crosvm, withTheDeathOf name: String) throws {
    let device = try #require(machine.processes.first { $0.name == name })
    #expect(Self.sockets.isSubset(of: workplace.names))
    kill(device.identifier, SIGKILL)
    let ending = machine.end()
    #expect(ending.status == 1 && !ending.leavesProcesses)
    #expect(ending.errors.contains("device \(name): it was killed by signal 9"), "\(ending.errors)")
    #expect(!hasSockets)
  }

  /// A machine that has no descriptor left for a client turns it away, and is there for the next one.
  @Test func aClientWithoutADescriptorIsTurnedAway() throws {
    let machine = try start()
    let highest = machine.look.entries("fd").compactMap { Int($0) }.max() ?? 0
    for (limit, status) in [(highest + 1, 1), (512, 0)] as [(Int, Int32)] {
      try Tool.run("prlimit", "--pid", "\(machine.look.identifier)", "--nofile=\(limit):", in: workplace)
      for _ in 0..<3 { #expect(try Crosvm.run(["version", "socket"], in: workplace).status == status) }
    }
    machine.send(SIGTERM)
    #expect(machine.end().status == 0)
  }

  @Test func aLauncherThatDiesEndsTheMachine() throws {
    let machine = try start()
    let launcher = try #require(machine.processes.first { $0.name == "crosvm" && $0.identifier != machine.look.identifier })
    #expect(Self.sockets.isSubset(of: workplace.names))
    kill(launcher.identifier, SIGKILL)
    let ending = machine.end()
    #expect(ending.status == 1 && !ending.leavesProcesses)
    #expect(Crosvm.wait { !hasSockets })
    #expect(ending.errors.contains("the process that makes device processes has ended"))
  }

  /// Without the keeper the launcher takes the sockets away, and without the connector the guest's new connections are refused.
  @Test(arguments: ["socket keeper", "connector"])
  func aHelperThatDiesIsSurvived(name: String) throws {
    let machine = try start()
    let look = { machine.processes.filter { $0.name == name } }
    // Of keepers there may be two for a moment, and another may follow: the launcher makes one for each socket that it is told of.
    #expect(Crosvm.wait { look().count == 1 })
    #expect(
      Crosvm.wait {
        let helpers = look()
        for helper in helpers { kill(helper.identifier, SIGKILL) }
        return helpers.isEmpty
      })
    try expectGoesOnAndEnds(machine)
  }

  @Test(.enabled(if: Tool.hasPasst, "needs the package passt")) func aPasstThatDiesIsSurvived() throws {
    let machine = try start("spins", ["--net", "user,mtu=1363"])
    let passt = try #require(Passts.all(mtu: 1363).first)
    kill(passt.identifier, SIGKILL)
    #expect(Crosvm.wait { Passts.count(mtu: 1363) == 0 })
    #expect(machine.processes.contains { $0.name == "user_net0" })
    try expectGoesOnAndEnds(machine)
  }

  /// All devices answer, and at the end nothing is left.
  private func expectGoesOnAndEnds(_ machine: Crosvm) throws {
    #expect(try Crosvm.run(["suspend", "socket"], in: workplace).status == 0)
    #expect(try Crosvm.run(["resume", "socket"], in: workplace).status == 0)
    machine.send(SIGTERM)
    let ending = machine.end()
    #expect(ending.status == 0 && !ending.leavesProcesses, "\(ending)")
    // Nothing but the log of what was asked.
    #expect(ending.errors.split(separator: "\n").map { $0.split(separator: " ").last } == ["suspended", "resumed"], "\(ending.errors)")
    #expect(!hasSockets)
  }

  /// Where nobody is left to take the sockets away, the next machine replaces them.
  @Test func theSocketsThatAKilledLauncherAndKeeperLeaveAreReplaced() throws {
    let machine = try start()
    let keepers = { machine.processes.filter { $0.name == "socket keeper" } }
    #expect(Crosvm.wait { keepers().count == 1 })
    let launcher = try #require(machine.processes.first { $0.name == "crosvm" && $0.identifier != machine.look.identifier })
    // It makes no other keeper from here on.
    kill(launcher.identifier, SIGSTOP)
    for process in keepers() + [launcher] { kill(process.identifier, SIGKILL) }
    let ending = machine.end()
    #expect(ending.status == 1 && !ending.leavesProcesses && Self.sockets.isSubset(of: workplace.names), "\(ending)")
    let next = try start()
    try expectGoesOnAndEnds(next)
  }

  @Test func aMachineThatIsKilledLeavesNothing() throws {
    let terminal = try PseudoTerminal()
    let before = terminal.settings
    let machine = try Crosvm(["run"] + Self.devices + ["--bios", "spins"], in: workplace, terminal: terminal.path)
    #expect(terminal.read(until: "A").contains("A"))
    machine.send(SIGKILL)
    let ending = machine.end()
    #expect(ending.status == 128 + SIGKILL && !ending.leavesProcesses)
    #expect(workplace.names == (Self.files + ["console"]).sorted())
    #expect(terminal.has(before))
  }

  /// At a hundred moments or more, from before the program is there until after the guest has spoken. They are spread by what a start takes on this
  /// machine at the time, and spread anew until there were enough of both kinds.
  @Test(arguments: [SIGTERM, SIGINT])
  func aSignalDuringTheStartLeavesNothing(signal: Int32) throws {
    var (before, after) = (0, 0)
    for _ in 0..<20 where before < 30 || after < 10 {
      let step = try startTime() / 75
      for index in 0..<100 {
        let machine = try Crosvm(["run", "--rwdisk", "disk", "-s", "socket", "--bios", "spins"], in: workplace)
        usleep(UInt32(index * step))
        machine.send(signal)
        let ending = machine.end()
        #expect(ending.status == 0 || ending.status == 128 + signal, "after \(index * step) µs: \(ending)")
        #expect(["", "A"].contains(ending.output) && ending.errors.isEmpty && !ending.leavesProcesses, "\(ending)")
        #expect(workplace.names == Self.files)
        if ending.output.isEmpty { before += 1 } else { after += 1 }
      }
    }
    #expect(before >= 30 && after >= 10, "\(before) ended before the guest spoke, \(after) afterwards")
  }

  /// How many microseconds it takes until a guest speaks: the median of five starts.
  private func startTime() throws -> Int {
    let times = try (0..<5).map { _ in
      let machine = try Crosvm(["run", "--rwdisk", "disk", "-s", "socket", "--bios", "spins"], in: workplace)
      let clock = ContinuousClock()
      let time = clock.measure { #expect(machine.waitForOutput("A")) }
      machine.send(SIGTERM)
      #expect(machine.end().status == 0)
      return max(1, Int(time / .microseconds(1)))
    }
    return times.sorted()[2]
  }

  @Test func aHungDeviceReadsAsAllOnes() throws {
    let machine = try start("looks", ["--serial", "type=file,path=seen,num=1"])
    let seen = { Set(workplace.read("seen")) }
    #expect(Crosvm.wait { seen() == [0xf4] })
    let device = try #require(machine.processes.first { $0.name == "block0" })
    kill(device.identifier, SIGSTOP)
    #expect(Crosvm.wait { workplace.readEnd("seen") == 0xff })
    kill(device.identifier, SIGCONT)
    #expect(Crosvm.wait { workplace.readEnd("seen") == 0xf4 })
    machine.send(SIGTERM)
    let ending = machine.end()
    #expect(ending.status == 0 && !ending.leavesProcesses)
    #expect(ending.errors.contains("block0: the device's process has not answered for 5000 ms; the guest reads all ones until it does"))
    #expect(ending.errors.contains("block0: the device's process answers again"))
  }

  /// A machine with a hung device ends all the same.
  @Test func aHungDeviceDoesNotHoldTheEndUp() throws {
    let machine = try start()
    for device in machine.processes where Self.deviceNames.contains(device.name) { kill(device.identifier, SIGSTOP) }
    machine.send(SIGTERM)
    let ending = machine.end()
    #expect(ending.status == 0 && !ending.leavesProcesses)
  }

  @Test func aSuspensionThatAHungDeviceDoesNotHearFailsAndIsUndone() throws {
    let machine = try start("looks", ["--serial", "type=file,path=seen,num=1"])
    #expect(Crosvm.wait { workplace.readEnd("seen") == 0xf4 })
    let device = try #require(machine.processes.first { $0.name == "rng" })
    kill(device.identifier, SIGSTOP)
    let suspension = try Crosvm.run(["suspend", "socket"], in: workplace)
    #expect(suspension.status == 1 && suspension.errors.contains("the process of device rng does not finish"), "\(suspension)")
    kill(device.identifier, SIGCONT)
    #expect(Crosvm.wait { try! Crosvm.run(["suspend", "socket"], in: workplace).status == 0 })
    #expect(try Crosvm.run(["resume", "socket"], in: workplace).status == 0)
    machine.send(SIGTERM)
    #expect(machine.end().status == 0)
  }

  /// As a debugger does it, or Ctrl-Z and fg of a shell: the kernel goes on with waits by a system call of its own, restart_syscall(2).
  @Test func aMachineThatIsStoppedAndContinuedGoesOn() throws {
    let machine = try start()
    // Keepers of sockets take turns at the start.
    #expect(Crosvm.wait { machine.processes.count == Self.deviceNames.count + 4 })
    let processes = machine.processes
    // KVM puts a thread of the kernel beside ours.
    let threads = { processes.flatMap(\.threads).filter { !$0.name.hasPrefix("kvm-") } }
    for process in processes { kill(process.identifier, SIGSTOP) }
    #expect(Crosvm.wait { threads().allSatisfy { $0.state == "T" } })
    for process in processes { kill(process.identifier, SIGCONT) }
    #expect(Crosvm.wait { threads().allSatisfy { $0.state == "S" || $0.name == "vcpu0" } })
    try expectGoesOnAndEnds(machine)
  }

  @Test func aProcessorThatWaitsForADeviceMayBeStopped() throws {
    let machine = try start("looks", ["--serial", "type=file,path=seen,num=1"])
    #expect(Crosvm.wait { workplace.readEnd("seen") == 0xf4 })
    let device = try #require(machine.processes.first { $0.name == "block0" })
    let processor = try #require(machine.look.threads.first { $0.name == "vcpu0" })
    kill(device.identifier, SIGSTOP)
    #expect(Crosvm.wait { device.state == "T" })
    // It sleeps because it waits, and not just for a moment.
    var looks = 0
    #expect(
      Crosvm.wait {
        looks = processor.state == "S" ? looks + 1 : 0
        return looks == 20
      })
    machine.send(SIGSTOP)
    #expect(Crosvm.wait { processor.state == "T" })
    machine.send(SIGCONT)
    kill(device.identifier, SIGCONT)
    #expect(Crosvm.wait { processor.state != "T" && workplace.readEnd("seen") == 0xf4 })
    machine.send(SIGTERM)
    let ending = machine.end()
    #expect(ending.status == 0 && !ending.leavesProcesses, "\(ending)")
  }

  /// As a service manager or a shell may start it: with a descriptor of its own, a secret, and without interest in children.
  @Test func whatTheMachineWasStartedWithDoesNotReachDevices() throws {
    let script = "trap '' CHLD; export SECRET=token; exec 515<spins; exec \"$@\""
    let machine = try Crosvm(
      ["run", "--rwdisk", "disk", "--bios", "spins"], in: workplace, launcher: ["bash", "-c", script, "bash"])
    #expect(machine.waitForOutput("A"))
    let devices = machine.processes.filter { Self.deviceNames.contains($0.name) }
    #expect(devices.count == 3)
    for device in devices {
      #expect(!device.entries("fd").map { device.link("fd/\($0)") }.contains(workplace.path + "/spins"))
      #expect(!device.environment.contains("token"))
    }
    kill(try #require(devices.first).identifier, SIGKILL)
    let ending = machine.end()
    #expect(ending.status == 1 && ending.errors.contains("killed by signal 9"), "\(ending)")
  }

  /// Root of a user namespace has nobody to become.
  @Test func rootOfAContainerHasASandboxToo() throws {
    let ending = try Crosvm.run(["run", "--rwdisk", "disk", "--bios", "resets"], in: workplace, launcher: ["unshare", "-Ur"])
    #expect(ending.status == 0 && ending.output == "A" && ending.errors.isEmpty, "\(ending)")
  }

  @Test func aRefusedNamespaceIsNamed() throws {
    let limit = "echo 0 > /proc/sys/user/max_net_namespaces; exec \"$@\""
    try Mistake("run", "--bios", "spins", says: "a new network namespace", "/proc/sys/user/max_net_namespaces", "--disable-sandbox").expect(
      status: 1, in: workplace, launcher: ["unshare", "-Ur", "sh", "-c", limit, "sh"])
  }

  @Test(arguments: 4..<40)
  func fewDescriptorsAreNoReasonToHang(count: Int) throws {
    let ending = try Crosvm.run(
      ["run", "--rwdisk", "disk", "--bios", "resets"], in: workplace, launcher: ["prlimit", "--nofile=\(count)"])
    #expect((ending.status == 0 || ending.status == 1 && ending.errors.contains("crosvm")) && !ending.leavesProcesses, "\(ending)")
  }
}

extension Crosvm {
  /// Whether this user may have namespaces of all kinds.
  static let hasNamespaces: Bool = {
    var process = pid_t()
    let words = ["unshare", "-UmpniuC", "--fork", "true"]
    var pointers: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) } + [nil]
    defer { unsafe pointers.forEach { unsafe free($0) } }
    guard unsafe posix_spawnp(&process, words[0], nil, nil, &pointers, environ) == 0 else { return false }
    var status: Int32 = 0
    unsafe waitpid(process, &status, 0)
    return status == 0
  }()
}
