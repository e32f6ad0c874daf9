import Glibc

/// The ways into a guest.
let bootTests: [GuestTest] = [
  GuestTest("a bzImage boots to a shell that reads the console") { environment in
    let run = try Guest(input: "echo sum=$((40+2)) kernel=$(uname -s)\nexit\n").run(environment)
    try expect(run.status == 0, "the exit status 0", in: run)
    try expect(run.output.contains("sum=42 kernel=Linux"), "the answer of the shell", in: run)
  },
  GuestTest("an ELF vmlinux boots to a shell that reads the console") { environment in
    let run = try Guest(kernel: .elf, input: "echo sum=$((40+2))\nexit\n").run(environment)
    try expect(run.status == 0, "the exit status 0", in: run)
    try expect(run.output.contains("sum=42"), "the answer of the shell", in: run)
  },
  GuestTest("an ELF vmlinux whose header names the PVH entry boots through it") { environment in
    let kernel = environment.scratchFile("pvh")
    try makePVHKernel(from: environment.file("vmlinux"), at: kernel)
    // Linux sets 0xb0 where it started at that entry, and takes it from the loader (0xff: unknown) elsewhere.
    let script = "echo loader=$(cat /proc/sys/kernel/bootloader_type); echo memory=$(grep -c MemTotal /proc/meminfo)"
    let run = try Guest(kernel: .other(kernel), script: script).run(environment)
    try expect(run.status == 0 && run.value("loader") == "176" && run.value("memory") == "1", "a guest that came up through PVH", in: run)
  },
  GuestTest("a Debian root in squashfs is mounted with --root") { environment in
    let script = "echo debian=$(cut -d. -f1 /etc/debian_version); echo root=$(findmnt -no FSTYPE,SOURCE / | tr -s ' ' ,)"
    let run = try Guest(options: ["-r", environment.file("root.squashfs")], script: script).run(environment)
    try expect(run.status == 0, "the exit status 0", in: run)
    try expect(run.value("debian") == "12", "Debian 12", in: run)
    try expect(run.value("root") == "squashfs,/dev/vda", "a squashfs root on /dev/vda", in: run)
  },
  GuestTest("the tables that describe the machine are accepted without complaint") { environment in
    let script = """
      echo bugs=$(dmesg | grep -ciE 'firmware bug|ACPI (BIOS )?(error|warning)|mptable.*(bad|error)|WARNING:')
      echo acpi=$(ls /sys/firmware/acpi/tables | grep -cE '^(APIC|DSDT|FACP|MCFG)$')
      echo vendor=$(cat /sys/class/dmi/id/sys_vendor)
      echo ecam=$(dmesg | grep -c 'PCI: MMCONFIG at .* reserved'); dmesg | grep MMCONFIG
      dmesg | grep -iE 'firmware bug|ACPI (BIOS )?(error|warning)|WARNING:' | head
      """
    let run = try Guest(script: script).run(environment)
    try expect(run.value("bugs") == "0", "no complaint in the kernel's log", in: run)
    try expect(run.value("acpi") == "4", "the tables APIC, DSDT, FACP, MCFG", in: run)
    try expect(run.value("vendor")?.isEmpty == false, "a vendor from SMBIOS", in: run)
    try expect(run.value("ecam") == "1", "a configuration space in memory", in: run)
  },
  GuestTest("the guest's clocks show the real time") { environment in
    let before = wallClock()
    // The first may be KVM's; the second is the CMOS clock.
    let run = try Guest(script: "echo now=$(date -u +%s); echo cmos=$(cat /sys/class/rtc/rtc0/since_epoch)").run(environment)
    let possible = before - 2...wallClock() + 2
    for clock in ["now", "cmos"] {
      let time = run.value(clock).flatMap { Int($0) } ?? 0
      try expect(possible.contains(time), "\(clock): the time of the host, in \(possible)", in: run)
    }
  },
]

/// Writes a copy of a kernel whose ELF header names the address of its PVH note (a Xen note of type 18) as the entry.
private func makePVHKernel(from source: String, at path: String) throws {
  var bytes = try Child.readBytes(source)
  func number(_ offset: Int, _ count: Int) -> Int { bytes[offset..<offset + count].reversed().reduce(0) { $0 << 8 | Int($1) } }
  // Elf64_Ehdr: program headers at 32, their number at 56. Elf64_Phdr, 56 bytes: type at 0 (4: notes), file offset at 8, size at 32.
  let notes = (0..<number(56, 2)).map { number(32, 8) + 56 * $0 }.filter { number($0, 4) == 4 }.map {
    number($0 + 8, 8)..<number($0 + 8, 8) + number($0 + 32, 8)
  }
  // An owner of 4 bytes, a value of 8, type 18, "Xen".
  let header: [UInt8] = [4, 0, 0, 0, 8, 0, 0, 0, 18, 0, 0, 0, 0x58, 0x65, 0x6e, 0]
  guard let note = notes.joined().first(where: { bytes[$0...].starts(with: header) }) else {
    throw Disappointment(description: "expected a PVH note in \(source)")
  }
  let value = note + header.count
  bytes.replaceSubrange(24..<32, with: Array(bytes[value..<value + 8]))
  try Child.write(bytes, to: path)
}
