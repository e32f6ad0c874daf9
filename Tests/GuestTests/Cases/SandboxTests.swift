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
  GuestTest("a disk works where the kernel has no io_uring") { environment in
    let disk = environment.scratchFile("disk")
    try Child.makeDisk(disk, bytes: 8 << 20)
    let policies = environment.scratchFile("policies")
    unsafe _ = mkdir(policies, 0o755)
    defer {
      for name in Child.entries(of: policies) { unsafe _ = unlink("\(policies)/\(name)") }
      unsafe _ = rmdir(policies)
      unsafe _ = unlink(disk)
    }
    var options = ["--rwdisk", disk]
    if environment.isSandboxed {
      for name in Child.entries(of: environment.policies) {
        let text = Child.read("\(environment.policies)/\(name)")
        let changed = text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
          line == "io_uring_setup: 1" ? "io_uring_setup: return ENOSYS" : String(line)
        }
        try Child.write(changed.joined(separator: "\n"), to: "\(policies)/\(name)")
      }
      options += ["--seccomp-policy-dir", policies]
    }
    let script = """
      dd if=/dev/urandom of=/tmp/a bs=64k count=32 2>/dev/null
      dd if=/tmp/a of=/dev/vda bs=64k oflag=direct 2>/dev/null && sync
      blkdiscard -o 4194304 -l 1048576 /dev/vda; blkdiscard -z -o 5242880 -l 65536 /dev/vda
      dd if=/dev/vda of=/tmp/b bs=64k count=32 iflag=direct 2>/dev/null
      cmp /tmp/a /tmp/b && echo same=yes
      """
    let run = try Guest(options: options, script: script).run(environment)
    try expect(run.status == 0 && run.value("same") == "yes", "the same bytes again", in: run)
  },
]

extension TestEnvironment {
  /// Whether the machines under test have their devices in processes of their own.
  var isSandboxed: Bool { !runOptions.contains("--disable-sandbox") }
  /// The folder of the policies for this architecture.
  var policies: String { golden + "/../../../seccomp/x86_64" }
}
