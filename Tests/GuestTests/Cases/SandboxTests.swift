import Glibc

/// What of the sandbox needs a guest with drivers. The rest is in the usage tests.
let sandboxTests = [
  GuestTest("an ordinary user's devices have rooms of their own, and work") { environment in
    guard environment.isSandboxed else { return }
    let disk = environment.scratchFile("disk")
    try Child.makeDisk(disk, bytes: 1 << 20)
    let user: uid_t = 1234
    unsafe _ = chmod("/dev/kvm", 0o666)
    unsafe _ = chown(disk, user, user)
    defer { unsafe _ = unlink(disk) }
    let script = "echo hello >/dev/vda; sync; head -c 8 /dev/hwrng | wc -c; echo up; while :; do sleep 1; done"
    let asUser = ["setpriv", "--reuid", "\(user)", "--regid", "\(user)", "--clear-groups"]
    let guest = Guest(options: ["--rwdisk", disk], launcher: asUser, script: script)
    let running = try guest.start(environment)
    let isUp = running.waitForOutput("up", seconds: 120)
    let devices = Child.entries(of: "/proc").filter { ["block0", "rng", "balloon"].contains(Child.read("/proc/\($0)/comm").dropLast()) }
    let users = Set(devices.map { Child.read("/proc/\($0)/status").split(separator: "\n").first { $0.hasPrefix("Uid:") } ?? "" })
    let rooms = devices.map { Child.entries(of: "/proc/\($0)/root") }
    let run = running.end(SIGTERM)
    try expect(isUp && run.output.contains("8"), "a running guest that used its devices", in: run)
    try expect(try Child.readBytes(disk).starts(with: Array("hello\n".utf8)), "what the guest wrote on its disk", in: run)
    try expect(devices.count == 3 && users == ["Uid:\t\(user)\t\(user)\t\(user)\t\(user)"], "processes of that user, not \(users)", in: run)
    try expect(rooms.allSatisfy(\.isEmpty), "empty rooms, not \(rooms)", in: run)
  },
  GuestTest("cards and sockets that need privileges have rooms of their own, too, and the death of one ends the machine") { environment in
    guard environment.isSandboxed else { return }
    let taps = [try HostTap(environment), try HostTap(environment)]
    // Prints a byte, and goes round.
    let firmware = environment.scratchFile("spins")
    try Child.write(
      [UInt8](repeating: 0, count: (1 << 20) - 16) + [0xba, 0xf8, 3, 0xb0, 0x41, 0xee, 0xeb, 0xfe] + [UInt8](repeating: 0, count: 8),
      to: firmware)
    defer { unsafe _ = unlink(firmware) }
    let options = [
      "--net", "tap-name=\(taps[0].name)", "--net", "tap-name=\(taps[1].name),vhost-net", "--vsock", "cid=9", "--bios", firmware,
    ]
    for victim in ["net0", "vhost_net1", "vhost_vsock"] {
      let running = try RunningGuest([environment.crosvm, "run"] + options, input: "", environment)
      let isUp = running.waitForOutput("A", seconds: 60)
      let devices = DeviceProcess.all(except: ["crosvm", "socket keeper"], under: running.process)
      let faults = devices.compactMap { $0.fault }
      if let device = devices.first(where: { $0.name == victim }) { kill(device.process, SIGKILL) }
      let run = running.end(nil, seconds: 60)
      try expect(isUp && Set(devices.map(\.name)) == ["net0", "vhost_net1", "vhost_vsock", "rng", "balloon"], "\(devices)", in: run)
      try expect(faults.isEmpty, "rooms of their own, but \(faults)", in: run)
      try expect(run.status == 1 && run.errors.contains("device \(victim): it was killed by signal 9"), "an end for that reason", in: run)
    }
  },
  GuestTest("a block device of the host is a disk, past the page cache, and may hold a qcow2 image, to its end") { environment in
    let raw = try LoopDevice(environment.scratchFile("raw-device"), bytes: 16 << 20)
    let image = try LoopDevice(environment.scratchFile("image-device"), bytes: 24 << 20)
    let made = try Child.run(
      ["qemu-img", "create", "-q", "-f", "qcow2", image.path, "64M"], input: "", seconds: 60, directory: environment.scratch)
    try expect(made.status == 0, "an image on a device", in: made)
    // The device ends before the disk does: what fits is written all the same, and nothing is lost.
    let script = """
      dd if=/dev/urandom of=/tmp/a bs=64k count=32 2>/dev/null
      dd if=/tmp/a of=/dev/vdb bs=64k oflag=direct 2>/dev/null && sync
      cmp -n 2097152 /tmp/a /dev/vdb && echo same=yes
      blkdiscard -o 0 -l 1048576 /dev/vdb && blkdiscard -z -o 1048576 -l 1048576 /dev/vdb && echo gone=yes
      echo 3 >/proc/sys/vm/drop_caches; echo zeroes=$(head -c 2097152 /dev/vdb | tr -d '\\0' | wc -c)
      dd if=/tmp/a of=/dev/vdc bs=1M oflag=direct 2>/dev/null && echo begun=yes
      dd if=/dev/zero bs=1M count=40 2>/dev/null | tr '\\0' x | dd of=/dev/vdc bs=1M seek=4 oflag=direct iflag=fullblock 2>/tmp/e
      grep -o 'left on device\\|Input/output error' /tmp/e | sed s/^/full:/; blkdiscard -o 4194304 -l 8388608 /dev/vdc
      sync; dd if=/tmp/a of=/dev/vdc bs=64k seek=64 oflag=direct 2>/dev/null && echo fits=yes
      for s in 0 4; do dd if=/dev/vdc bs=1M skip=$s count=2 iflag=direct 2>/dev/null | cmp - /tmp/a && echo kept$s=yes; done
      """
    let options = ["-r", environment.file("root.squashfs"), "--block", "\(raw.path),direct,queue-size=32", "--block", image.path]
    let run = try Guest(options: options, script: script).run(environment)
    try expect(run.value("same") == "yes" && run.value("gone") == "yes" && run.value("zeroes") == "0", "zeroes in the end", in: run)
    try expect(run.value("begun") == "yes" && run.output.contains("full:"), "a device that is full", in: run)
    try expect(run.value("fits") == "yes" && run.value("kept0") == "yes" && run.value("kept4") == "yes", "what fits", in: run)
    let checked = try Child.run(["qemu-img", "check", "-f", "qcow2", image.path], input: "", seconds: 60, directory: environment.scratch)
    try expect(checked.status == 0, "a sound image", in: checked)
  },
  GuestTest("outputs that are sockets: a receiver that comes back is found again by a serial port") { environment in
    let paths = ["serial", "console"].map { environment.scratchFile($0) }
    var receivers = try paths.map { try DatagramReceiver($0) }
    let options = [
      "--serial", "type=unix,path=\(paths[0]),num=2", "--serial", "type=unix,path=\(paths[1]),hardware=virtio-console,num=3",
    ]
    let script = """
      for i in $(seq 400); do echo serial $i >/dev/ttyS1; echo console $i >/dev/hvc0; sleep 0.2; done
      """
    let running = try Guest(options: options, script: script).start(environment)
    let heard = receivers[0].waits(for: "serial 3", seconds: 150) && receivers[1].waits(for: "console 3", seconds: 60)
    receivers = []
    usleep(1_000_000)
    let again = try DatagramReceiver(paths[0])
    let heardAgain = again.waits(for: "serial ", seconds: 60)
    let run = running.end(SIGTERM)
    try expect(heard, "what the guest wrote", in: run)
    try expect(heardAgain, "more of it by the new receiver", in: run)
    try expect(run.status == 0, "a good end", in: run)
  },
  GuestTest("what a processor's thread has to say and what a serial port prints goes to the system log, and the guest runs on") {
    environment in
    // The lab has no log daemon.
    let daemon = try DatagramReceiver("/dev/log")
    let script = """
      setpci -s 00:02.0 COMMAND=0; for i in 0 1 2 3 4 5; do setpci -s 00:02.0 BASE_ADDRESS_$i=fee00000; done; setpci -s 00:02.0 COMMAND=2
      echo up; echo said by the guest >/dev/ttyS1; sleep 1; echo still=up
      """
    let guest = Guest(
      options: ["-r", environment.file("root.squashfs"), "--serial", "type=stdout,console", "--serial", "type=syslog,num=2"],
      globalOptions: ["--syslog-tag", "web1"], script: script)
    let running = try guest.start(environment)
    let isUp = running.waitForOutput("still=up", seconds: 150)
    let isLogged = daemon.waits(for: "rng: the guest cannot move register", seconds: 5)
    let isPrinted = daemon.waits(for: "said by the guest", seconds: 5)
    // Without its registers the driver would wait for its device for ever.
    let run = running.end(SIGTERM)
    try expect(isUp && run.status == 0, "a guest that runs on", in: run)
    try expect(isLogged && isPrinted, "a line of each in the system log", in: run)
    // Severity 6, informational, of facility 1, programs of users: 14. 12 is a warning.
    let printed = daemon.datagram(with: "said by the guest") ?? ""
    try expect(
      printed.hasPrefix("<14>web1[") && printed.hasSuffix("]: said by the guest"), "its tag before the line, not \(printed)", in: run)
    let logged = daemon.datagram(with: "rng: the guest cannot move register") ?? ""
    try expect(logged.hasPrefix("<12>web1["), "its tag before the line, not \(logged)", in: run)
  },
  GuestTest("a disk works where the kernel has no io_uring, and where the file system makes no holes") { environment in
    let folder = environment.scratchFile("ramfs")
    unsafe _ = mkdir(folder, 0o755)
    let mounted = try Child.run(["mount", "-t", "ramfs", "none", folder], input: "", seconds: 60, directory: environment.scratch)
    try expect(mounted.status == 0, "a file system in memory", in: mounted)
    let disk = folder + "/disk"
    try Child.makeDisk(disk, bytes: 8 << 20)
    defer {
      unsafe _ = umount(folder)
      unsafe _ = rmdir(folder)
    }
    let script = """
      dd if=/dev/urandom of=/tmp/a bs=64k count=32 2>/dev/null
      dd if=/tmp/a of=/dev/vdb bs=64k conv=fsync 2>/dev/null
      blkdiscard -o 4194304 -l 1048576 /dev/vdb; blkdiscard -z -o 5242880 -l 65536 /dev/vdb
      dd if=/dev/vdb of=/tmp/b bs=64k count=32 iflag=direct 2>/dev/null
      cmp /tmp/a /tmp/b && echo same=yes
      """
    let guest = Guest(options: ["-r", environment.file("root.squashfs"), "--rwdisk", disk], script: script)
    let run = try guest.run(environment)
    try expect(run.status == 0 && run.value("same") == "yes", "the same bytes again", in: run)
    let second = try SystemCalls.unrecorded { try SystemCalls.withoutIOUring { try guest.run(environment) } }
    try expect(second.status == 0 && second.value("same") == "yes", "the same bytes again without io_uring", in: second)
  },
]

/// Receives datagrams at a path.
private final class DatagramReceiver {
  private let path: String
  private let socket: Int32
  private var datagrams: [String] = []

  init(_ path: String) throws {
    self.path = path
    // Not inherited by crosvm, or it would go on living there.
    socket = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    // Shorter than the field: paths of tests are.
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: Array(path.utf8)) }
    let code = unsafe withUnsafePointer(to: address) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe bind(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
    guard code == 0 else { throw Disappointment(description: "a socket at \(path)") }
  }

  deinit {
    close(socket)
    unsafe _ = unlink(path)
  }

  /// Whether a text comes within some seconds.
  func waits(for wanted: String, seconds: Int) -> Bool {
    let deadline = Child.now() + Double(seconds)
    var bytes = [UInt8](repeating: 0, count: 8192)
    while !datagrams.joined().contains(wanted), Child.now() < deadline {
      let count = unsafe recv(socket, &bytes, bytes.count, Int32(MSG_DONTWAIT))
      if count > 0 { datagrams.append(String(decoding: bytes.prefix(count), as: UTF8.self)) } else { usleep(50_000) }
    }
    return datagrams.joined().contains(wanted)
  }

  /// The first of those that came that has a text in it.
  func datagram(with text: String) -> String? { datagrams.first { $0.contains(text) } }
}

extension TestEnvironment {
  /// Whether the machines under test have their devices in processes of their own.
  var isSandboxed: Bool { !runOptions.contains("--disable-sandbox") }
  /// The folder of the policies for this architecture.
  var policies: String { golden + "/../../../seccomp/x86_64" }
}

/// A process that belongs to a machine, as /proc shows it.
private struct DeviceProcess {
  let process: pid_t
  let name: String

  /// Those below a process, but for some names.
  static func all(except names: Set<String>, under ancestor: pid_t) -> [DeviceProcess] {
    let processes = Child.entries(of: "/proc").compactMap { pid_t($0) }
    let parents = Dictionary(uniqueKeysWithValues: processes.map { ($0, pid_t(field("PPid", of: $0)) ?? 0) })
    func isBelow(_ process: pid_t) -> Bool {
      var process = process
      while let parent = parents[process], parent > 1 {
        if parent == ancestor { return true }
        process = parent
      }
      return false
    }
    return processes.filter(isBelow).map { DeviceProcess(process: $0, name: field("Name", of: $0)) }.filter { !names.contains($0.name) }
  }

  /// What is not as the sandbox promises; nil where all is.
  var fault: String? {
    let promised = ["Seccomp": "2", "NoNewPrivs": "1"].merging(
      ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map { ($0, "0000000000000000") }, uniquingKeysWith: { first, _ in first })
    for (name, value) in promised where DeviceProcess.field(name, of: process) != value { return "\(self.name): \(name) is not \(value)" }
    for kind in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
      let room = DeviceProcess.link("/proc/\(process)/ns/\(kind)")
      if room.isEmpty || room == DeviceProcess.link("/proc/self/ns/\(kind)") { return "\(name): the \(kind) namespace is the host's" }
    }
    let entries = Child.entries(of: "/proc/\(process)/root")
    return entries.isEmpty ? nil : "\(name): its root has \(entries)"
  }

  private static func field(_ name: String, of process: pid_t) -> String {
    let line = Child.read("/proc/\(process)/status").split(separator: "\n").first { $0.hasPrefix(name + ":\t") } ?? ""
    return String(line.dropFirst(name.count + 2))
  }

  private static func link(_ path: String) -> String {
    var buffer = [CChar](repeating: 0, count: 256)
    let count = unsafe readlink(path, &buffer, buffer.count)
    return String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

/// A block device of the host: a file by way of the loop driver.
private final class LoopDevice {
  let path: String
  private let file: String

  init(_ file: String, bytes: Int) throws {
    self.file = file
    try Child.makeDisk(file, bytes: bytes)
    let attached = try Child.run(["losetup", "-f", "--show", file], input: "", seconds: 60, directory: "/")
    path = String(attached.output.prefix { !$0.isNewline })
    try expect(attached.status == 0 && path.hasPrefix("/dev/loop"), "a block device", in: attached)
  }

  deinit {
    _ = try? Child.run(["losetup", "-d", path], input: "", seconds: 60, directory: "/")
    unsafe _ = unlink(file)
  }
}
