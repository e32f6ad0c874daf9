import Glibc

/// The other devices, and the bus they are on.
let deviceTests: [GuestTest] = [
  GuestTest("the virtio entropy device feeds the guest's hwrng") { environment in
    let script = """
      echo rng=$(cat /sys/class/misc/hw_random/rng_current)
      dd if=/dev/hwrng of=/tmp/a bs=4096 count=4 iflag=fullblock 2>/dev/null
      dd if=/dev/hwrng of=/tmp/b bs=4096 count=4 iflag=fullblock 2>/dev/null
      echo size=$(wc -c </tmp/a); cmp -s /tmp/a /tmp/b || echo differ=yes
      """
    let run = try Guest(script: script).run(environment)
    try expect(run.value("rng")?.hasPrefix("virtio_rng") == true, "virtio_rng as the source", in: run)
    try expect(run.value("size") == "16384" && run.value("differ") == "yes", "two different blocks of random bytes", in: run)
  },
  GuestTest("a virtio console carries bytes both ways") { environment in
    let output = environment.scratchFile("hvc")
    let options = ["--serial", "type=file,hardware=virtio-console,num=1,path=\(output)"]
    let script = "echo from-the-guest >/dev/hvc0; echo consoles=$(ls /dev/hvc0)"
    let run = try Guest(options: options, script: script).run(environment)
    try expect(run.value("consoles") == "/dev/hvc0", "/dev/hvc0", in: run)
    try expect(Child.read(output).contains("from-the-guest"), "the guest's line in the console's file", in: run)
    // The input is there long before the guest's driver is; none of it may be lost.
    let back = try Guest(
      options: ["--serial", "type=stdout,num=1,console", "--serial", "type=sink,hardware=virtio-console,num=1,stdin"],
      script: "read -r line </dev/hvc0; echo \"read=$line\"", input: "from the host\n"
    ).run(environment)
    try expect(back.value("read") == "from the host", "the host's line in the guest", in: back)
  },
  GuestTest("a virtio console can be the console, with a shell on it") { environment in
    let run = try Guest(
      options: ["--serial", "type=stdout,hardware=virtio-console,num=1,console,stdin"],
      input: "echo sum=$((40+2)) on $(cat /sys/class/tty/console/active)\nexit\n"
    ).run(environment)
    try expect(run.output.contains("sum=42 on hvc0"), "the shell's answer on hvc0", in: run)
  },
  GuestTest("drivers are unbound and bound again, five times, and their devices work afterwards") { environment in
    let disk = environment.scratchFile("rebind")
    try Child.makeDisk(disk, bytes: 4 << 20)
    let script = """
      cd /sys/bus/virtio/drivers
      for round in 1 2 3 4 5; do
        for driver in virtio_blk virtio_rng; do
          for device in $(cd $driver; ls -d virtio*); do echo $device >$driver/unbind; echo $device >$driver/bind; done
        done
      done
      echo round5 >/dev/vda; sync; echo 3 >/proc/sys/vm/drop_caches; echo disk=$(head -c 6 /dev/vda)
      echo random=$(head -c 64 /dev/hwrng | wc -c)
      cd /sys/bus/pci/drivers/virtio-pci
      for device in $(ls -d 0000:*); do echo $device >unbind; echo $device >bind; done
      sleep 1; echo again=$(head -c 6 /dev/vda)
      """
    let run = try Guest(options: ["--rwdisk", disk], script: script).run(environment)
    try expect(run.value("disk") == "round5" && run.value("again") == "round5", "a working disk after each turn", in: run)
    try expect(run.value("random") == "64", "a working entropy device", in: run)
  },
  GuestTest("a guest without MSI uses the devices through their interrupt lines") { environment in
    let disk = environment.scratchFile("intx")
    try Child.makeDisk(disk, bytes: 4 << 20)
    let script = """
      echo lines=$(grep -c 'IO-APIC.*virtio' /proc/interrupts) messages=$(grep -c 'PCI-MSI.*virtio' /proc/interrupts)
      dd if=/dev/urandom of=/tmp/data bs=64k count=16 2>/dev/null; dd if=/tmp/data of=/dev/vda bs=64k conv=fsync 2>/dev/null
      echo 3 >/proc/sys/vm/drop_caches; cmp -n 1048576 /tmp/data /dev/vda && echo same=yes
      echo random=$(head -c 64 /dev/hwrng | wc -c)
      """
    for options in [[], ["--split-irqchip"]] {
      let run = try Guest(options: options + ["--rwdisk", disk], parameters: ["pci=nomsi"], script: script).run(environment)
      try expect(run.value("lines")?.hasSuffix(" messages=0") == true, "no message interrupts", in: run)
      try expect(run.value("same") == "yes" && run.value("random") == "64", "a working disk and entropy device", in: run)
    }
  },
  GuestTest("a kernel that the guest starts itself, with kexec, finds processors and devices as they were at first") { environment in
    let disk = environment.scratchFile("kexec")
    try Child.makeDisk(disk, bytes: 1 << 20)
    let kernel = environment.scratchFile("kernel")
    let bytes = try Child.readBytes(environment.file("vmlinuz"))
    try Child.write(bytes + [UInt8](repeating: 0, count: (512 - bytes.count % 512) % 512), to: kernel)
    defer { unsafe _ = unlink(kernel) }
    let second = """
      echo kept=$(head -c 5 /dev/vdb); echo second >/dev/vdb; sync; echo 3 >/proc/sys/vm/drop_caches; echo disk=$(head -c 6 /dev/vdb)
      echo online=$(nproc); echo random=$(head -c 64 /dev/hwrng | wc -c)
      """
    // As kexec-tools do it: kexec_file_load(2) has number 320, and reboot(2) 169, here with LINUX_REBOOT_CMD_KEXEC. The first kernel leaves the
    // devices as they are.
    let first = """
      echo first >/dev/vdb; sync
      head -c \(bytes.count) /dev/vdc >/run/kernel; cat /dev/vdd >/run/initramfs
      perl -e 'open K, "/run/kernel"; open I, "/run/initramfs"; my $line = "$ARGV[0]\\0";
        syscall(320, fileno K, fileno I, length $line, $line, 0) == 0 or die "kexec_file_load: $!";
        syscall(169, 0xfee1dead, 0x28121969, 0x45584543, 0); die "reboot: $!"' 'console=ttyS0 quiet guest.exec=\(base64(Array(second.utf8)))'
      """
    let run = try Guest(
      options: [
        "-c", "2", "-m", "512", "-r", environment.file("root.squashfs"), "--rwdisk", disk, "-d", kernel, "-d",
        environment.file("initramfs.img"),
      ], script: first
    ).run(environment)
    try expect(run.lines.count { $0.hasPrefix("GUEST-INIT ") } == 2 && run.status == 0, "two kernels, one after the other", in: run)
    try expect(run.value("kept") == "first" && run.value("disk") == "second", "a disk that goes on working", in: run)
    try expect(run.value("online") == "2" && run.value("random") == "64", "both processors, and random bytes", in: run)
  },
  GuestTest("devices stay in the slots that users know") { environment in
    let disk = environment.scratchFile("slots")
    try Child.makeDisk(disk, bytes: 1 << 20)
    let options = ["-r", environment.file("root.squashfs"), "--rwdisk", disk, "--serial", "type=sink,hardware=virtio-console,num=1"]
    let run = try Guest(options: options, script: "lspci -nn | sed 's/^/lspci: /'").run(environment)
    let seen = run.lines.filter { $0.hasPrefix("lspci: ") }.map { $0.dropFirst(7) }.joined(separator: "\n") + "\n"
    try expect(seen == Child.read("\(environment.golden)/lspci.txt"), "what Tests/GuestTests/Golden/lspci.txt says, not:\n\(seen)", in: run)
  },
  GuestTest("a BAR that the guest moves goes on working") { environment in
    let disks = try ["first", "second"].map { name in
      let path = environment.scratchFile(name)
      try Child.makeDisk(path, bytes: 1 << 20)
      return path
    }
    // The kernel places a device that it finds anew, and this one now where a whole MiB begins. The first disk's registers lie before it.
    let script = """
      device=/sys/bus/pci/devices/0000:00:02.0
      look() { read -r start rest <$device/resource; echo $1=$start; echo $1-bar=$(od -An -tx4 -j16 -N4 $device/config | tr -d ' '); }
      look before; echo 20@0000:00:02.0 >/sys/bus/pci/resource_alignment
      echo 1 >$device/remove; echo gone=$(ls -d /sys/block/vdb 2>/dev/null | wc -l)
      echo 1 >/sys/bus/pci/rescan; sleep 1; look after
      echo moved >/dev/vdb; sync; echo 3 >/proc/sys/vm/drop_caches; echo disk=$(head -c 5 /dev/vdb)
      """
    let run = try Guest(options: disks.flatMap { ["--rwdisk", $0] }, script: script).run(environment)
    func address(_ name: String, digits: Int) -> UInt64? { run.value(name).flatMap { UInt64($0.suffix(digits), radix: 16) } }
    let (before, after) = (address("before", digits: 16), address("after", digits: 16))
    try expect(before != nil && after != nil && before != after, "another address", in: run)
    try expect(address("before-bar", digits: 8) == before && address("after-bar", digits: 8) == after, "it in the register, too", in: run)
    try expect(run.value("gone") == "0" && run.value("disk") == "moved", "the disk to come back and work", in: run)
    try expect(Child.read(disks[1]).hasPrefix("moved"), "what was written in the disk's file", in: run)
  },
]
