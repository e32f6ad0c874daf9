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
      echo ecam=$(dmesg | grep -c 'PCI: Using configuration type 1\\|ECAM\\|MMCONFIG')
      dmesg | grep -iE 'firmware bug|ACPI (BIOS )?(error|warning)|WARNING:' | head
      """
    let run = try Guest(script: script).run(environment)
    try expect(run.value("bugs") == "0", "no complaint in the kernel's log", in: run)
    try expect(run.value("acpi") == "4", "the tables APIC, DSDT, FACP, MCFG", in: run)
    try expect(run.value("vendor")?.isEmpty == false, "a vendor from SMBIOS", in: run)
  },
  GuestTest("the guest's clock shows the real time") { environment in
    let before = wallClock()
    let run = try Guest(script: "echo now=$(date -u +%s)").run(environment)
    let now = run.value("now").flatMap { Int($0) } ?? 0
    try expect((before - 2...wallClock() + 2).contains(now), "the time of the host", in: run)
  },
]
