import Glibc

/// Processors and interrupt controllers.
let processorTests: [GuestTest] =
  [1, 2, 32].map { count in
    GuestTest("\(count) of \(count) processors come online") { environment in
      let script = "echo online=$(nproc); echo packages=$(cat /sys/devices/system/cpu/cpu*/topology/physical_package_id | sort -u | wc -l)"
      let run = try Guest(options: ["-c", "\(count)"], script: script).run(environment)
      try expect(run.status == 0, "the exit status 0", in: run)
      try expect(run.value("online") == "\(count)", "\(count) processors online", in: run)
      try expect(run.value("packages") == "1", "one package", in: run)
    }
  } + [
    GuestTest("4 of 4 processors come online, and Linux finds their cores, the clock, memory types and KVM") { environment in
      let script = """
        lscpu | sed -n 's/^ *\\([A-Z][^:]*\\): */\\1=/p'
        echo apics=$(sed -n 's/^apicid.*: //p' /proc/cpuinfo | sort -u | tr '\\n' ,)
        for flag in hypervisor x2apic tsc_deadline_timer mtrr pat; do echo $flag=$(grep -cw "^flags.*$flag" /proc/cpuinfo); done
        echo clock=$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)
        echo types=$(sed 's/.*base=\\(0x[0-9a-f]*\\).*size= *\\([0-9]*.B\\),.*: /\\1,\\2,/' /proc/mtrr)
        for words in 'Hypervisor detected: KVM' 'kvm-clock: Using msrs' 'TSC deadline timer available' 'x86/PAT: Configuration'; do
          echo "$words=$(dmesg | grep -c "$words")"
        done
        """
      let run = try Guest(options: ["-c", "4", "-r", environment.file("root.squashfs")], script: script).run(environment)
      let topology = ["CPU(s)": "4", "Socket(s)": "1", "Core(s) per socket": "4", "Thread(s) per core": "1", "Hypervisor vendor": "KVM"]
      for (name, value) in topology { try expect(run.value(name) == value, "\(name): \(value)", in: run) }
      try expect(run.value("apics") == "0,1,2,3,", "each processor's own APIC", in: run)
      for flag in ["hypervisor", "x2apic", "tsc_deadline_timer", "mtrr", "pat"] {
        try expect(run.value(flag) == "4", "\(flag) on each processor", in: run)
      }
      // Linux prefers a stable time-stamp counter, which not every host has.
      try expect(["kvm-clock", "tsc"].contains(run.value("clock")), "a good clock", in: run)
      // All of the hole for devices, and nothing of the memory.
      try expect(run.value("types") == "0x0d0000000,256MB,uncachable 0x0e0000000,512MB,uncachable", "uncached devices", in: run)
      for words in ["Hypervisor detected: KVM", "kvm-clock: Using msrs", "TSC deadline timer available", "x86/PAT: Configuration"] {
        try expect(run.value(words) == "1", "\(words)", in: run)
      }
    },
    GuestTest("without ACPI 2 processors and a disk's interrupt line are found in the MP table") { environment in
      let disk = environment.scratchFile("mptable")
      try Child.makeDisk(disk, bytes: 1 << 20)
      // The guests' own kernel reads no MP tables (CONFIG_X86_MPPARSE), but that of the lab's host does, and has its modules in its initramfs.
      let initramfs = environment.scratchFile("initramfs")
      let parts = try ["host/initramfs.img", "initramfs.img"].map { try Child.readBytes(environment.file($0)) }
      try Child.write(parts[0] + parts[1], to: initramfs)
      defer { unsafe _ = unlink(initramfs) }
      let script = """
        echo online=$(nproc); echo lines=$(grep -c 'IO-APIC.*virtio' /proc/interrupts); echo tables=$(ls /sys/firmware/acpi 2>/dev/null | wc -l)
        echo written >/dev/vda; sync; echo 3 >/proc/sys/vm/drop_caches; echo disk=$(head -c 7 /dev/vda)
        """
      // Power is switched off by ACPI only.
      let run = try Guest(
        kernel: .other(environment.file("host/vmlinux")), initramfs: false,
        options: ["-c", "2", "-m", "512", "-i", initramfs, "--rwdisk", disk], globalOptions: ["--extended-status"],
        parameters: ["acpi=off", "pci=nomsi", "guest.end=reboot"], script: script
      ).run(environment)
      try expect(run.status == 32 && run.value("tables") == "0", "a reboot of a guest without ACPI", in: run)
      try expect(run.value("online") == "2", "2 processors online", in: run)
      try expect(run.value("lines") == "1" && run.value("disk") == "written", "a disk by its interrupt line", in: run)
    },
    GuestTest("an ELF kernel: 2 of 2 processors come online") { environment in
      let run = try Guest(kernel: .elf, options: ["--cpus", "num-cores=2"], script: "echo online=$(nproc)").run(environment)
      try expect(run.value("online") == "2", "2 processors online", in: run)
    },
    GuestTest("with --split-irqchip interrupts reach 2 processors and a disk") { environment in
      let disk = environment.scratchFile("split")
      try Child.makeDisk(disk, bytes: 8 << 20)
      let script = """
        echo online=$(nproc)
        dd if=/dev/urandom of=/tmp/data bs=64k count=16 2>/dev/null
        dd if=/tmp/data of=/dev/vda bs=64k conv=fsync 2>/dev/null
        echo 3 >/proc/sys/vm/drop_caches
        cmp -n 1048576 /tmp/data /dev/vda && echo same=yes
        """
      let run = try Guest(options: ["--split-irqchip", "-c", "2", "--rwdisk", disk], script: script).run(environment)
      try expect(run.status == 0, "the exit status 0", in: run)
      try expect(run.value("online") == "2", "2 processors online", in: run)
      try expect(run.value("same") == "yes", "the disk's contents back", in: run)
    },
    GuestTest("--cpu-affinity keeps each processor's thread on its host processors") { environment in
      let script = "while :; do sleep 1; done"
      let guest = Guest(options: ["-c", "2", "--cpu-affinity", "0=1:1=0"], script: "echo up; " + script)
      let running = try guest.start(environment)
      let isUp = running.waitForOutput("up", seconds: 120)
      let allowed = ["vcpu0", "vcpu1"].map { running.statusOfThread($0, field: "Cpus_allowed_list") }
      let run = running.end(SIGTERM)
      try expect(isUp, "a running guest", in: run)
      try expect(allowed == ["1", "0"], "host processors 1 and 0, not \(allowed)", in: run)
    },
  ]
