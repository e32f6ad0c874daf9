import Glibc

/// Processors and interrupt controllers.
let processorTests: [GuestTest] =
  [1, 2, 4, 32].map { count in
    GuestTest("\(count) of \(count) processors come online") { environment in
      let script = "echo online=$(nproc); echo packages=$(cat /sys/devices/system/cpu/cpu*/topology/physical_package_id | sort -u | wc -l)"
      let run = try Guest(options: ["-c", "\(count)"], script: script).run(environment)
      try expect(run.status == 0, "the exit status 0", in: run)
      try expect(run.value("online") == "\(count)", "\(count) processors online", in: run)
      try expect(run.value("packages") == "1", "one package", in: run)
    }
  } + [
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
