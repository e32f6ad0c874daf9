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
