import Glibc

/// virtio-pmem with the stock driver. Nothing loads it by itself in our guests.
let pmemTests: [GuestTest] = [
  GuestTest("what is written to ext4 with dax on pmem and synced is there after a second boot") { environment in
    let image = environment.scratchFile("pmem")
    try Child.makeDisk(image, bytes: 32 << 20)
    defer { unsafe _ = unlink(image) }
    let root = ["-r", environment.file("root.squashfs")]
    let mount = loadDrivers + "mount -o dax /dev/pmem0 /mnt && echo mounted=$(grep -c '/dev/pmem0 .*dax' /proc/mounts)\n"
    let sum = "echo sum=$(sha256sum /mnt/data | cut -c1-64)\n"
    let write = "dd if=/dev/urandom of=/mnt/data bs=1M count=8 conv=fsync 2>/dev/null && sync && echo synced=yes\n" + sum
    let first = try Guest(
      options: root + ["--rw-pmem-device", image], script: loadDrivers + "mkfs.ext4 -q -b 4096 /dev/pmem0\n" + mount + write
    ).run(environment)
    try expect(first.status == 0 && first.value("mounted") == "1", "a file system with dax", in: first)
    try expect(first.value("synced") == "yes" && first.value("sum")?.count == 64, "a checksum of what was written", in: first)
    let second = try Guest(options: root + ["--pmem", image], script: mount + sum).run(environment)
    try expect(second.value("mounted") == "1", "a file system with dax again", in: second)
    try expect(second.value("sum") == first.value("sum"), "the same checksum after the second boot", in: second)
  },
  GuestTest("read-only pmem keeps nothing that is written, and says so") { environment in
    let image = environment.scratchFile("pmem")
    try Child.makeDisk(image, bytes: 4 << 20)
    defer { unsafe _ = unlink(image) }
    let content = Array("untouched".utf8) + [UInt8](repeating: 7, count: (3 << 20) - 9)
    try Child.write(content, to: image)
    let script = """
      echo size=$(cat /sys/block/pmem0/size)
      echo changed | dd of=/dev/pmem0 conv=fsync 2>/dev/null; echo 3 >/proc/sys/vm/drop_caches
      echo start=$(head -c 9 /dev/pmem0)
      """
    let run = try Guest(options: ["-r", environment.file("root.squashfs"), "--pmem-device", image], script: loadDrivers + script)
      .run(environment)
    try expect(run.status == 0 && run.value("size") == "\((4 << 20) / 512)", "3 MiB, rounded up to 4", in: run)
    try expect(run.value("start") == "untouched", "what was there before", in: run)
    try expect(try Child.readBytes(image) == content, "an image that nobody has changed", in: run)
    try expect(run.errors.contains("pmem0: the guest writes to read-only"), "a warning", in: run)
  },
  GuestTest("the end of pmem beyond its image is memory like any other, and a warning tells of it") { environment in
    let image = environment.scratchFile("pmem")
    try Child.makeDisk(image, bytes: (1 << 20) + 500)
    defer { unsafe _ = unlink(image) }
    let script = """
      dd if=/dev/urandom of=/tmp/a bs=64k count=32 2>/dev/null
      dd if=/tmp/a of=/dev/pmem0 bs=64k conv=fsync 2>/dev/null; echo 3 >/proc/sys/vm/drop_caches
      cmp -n 2097152 /tmp/a /dev/pmem0 && echo same=yes; echo sum=$(head -c 1049076 /tmp/a | sha256sum | cut -c1-64)
      """
    let run = try Guest(options: ["-r", environment.file("root.squashfs"), "--rw-pmem-device", image], script: loadDrivers + script)
      .run(environment)
    try expect(run.value("same") == "yes", "the same bytes again", in: run)
    try expect(run.errors.contains("pmem0") && run.errors.contains("extend it with truncate -s 2097152"), "a warning", in: run)
    let sum = try Child.run(["sha256sum", image], input: "", seconds: 60, directory: environment.scratch)
    try expect(run.value("sum").map { sum.output.hasPrefix($0) } == true, "the beginning of it in the image", in: run)
    try expect(try Child.readBytes(image).count == (1 << 20) + 500, "an image of the same size", in: run)
  },
  GuestTest("direct I/O of a disk into memory of pmem fails, and the disk goes on") { environment in
    let (image, disk) = (environment.scratchFile("pmem"), environment.scratchFile("disk"))
    try Child.makeDisk(image, bytes: 32 << 20)
    try Child.makeDisk(disk, bytes: 8 << 20)
    defer {
      unsafe _ = unlink(image)
      unsafe _ = unlink(disk)
    }
    let script = """
      mkfs.ext4 -q -b 4096 /dev/pmem0 && mount -o dax /dev/pmem0 /mnt && head -c 4M /dev/zero >/mnt/buffer
      io() { fio --name=a --filename=/dev/vdb --direct=1 --ioengine=psync --bs=4k --size=1m --rw=$1 --mem=$2 >/dev/null 2>/tmp/e; }
      for way in read write; do io $way mmapshared:/mnt/buffer || echo $way=failed; grep -o 'Input/output error' /tmp/e | head -n 1; done
      for way in write read; do io $way malloc && echo plain_$way=worked; done
      """
    let run = try Guest(
      options: ["-r", environment.file("root.squashfs"), "--rw-pmem-device", image, "--rwdisk", disk], script: loadDrivers + script
    ).run(environment)
    for way in ["read", "write"] {
      try expect(run.value(way) == "failed", "a \(way) that fails", in: run)
      try expect(run.value("plain_\(way)") == "worked", "a \(way) of other memory afterwards", in: run)
    }
    try expect(run.output.contains("Input/output error") && run.status == 0, "an I/O error", in: run)
  },
  GuestTest("a guest boots from a squashfs root on pmem") { environment in
    let run = try Guest(
      options: ["--pmem", "\(environment.file("root.squashfs")),ro,root"],
      script: "echo root=$(grep -c '^/dev/pmem0 / squashfs ro' /proc/mounts)"
    ).run(environment)
    try expect(run.status == 0 && run.value("root") == "1", "/dev/pmem0 as the root", in: run)
  },
  GuestTest("pmem whose image is made shorter ends the machine with a message") { environment in
    let image = environment.scratchFile("pmem")
    try Child.makeDisk(image, bytes: 16 << 20)
    defer { unsafe _ = unlink(image) }
    let script = "echo up; while dd if=/dev/pmem0 of=/dev/null bs=1M iflag=direct 2>/dev/null; do :; done; echo went=on; sleep 60"
    let running = try Guest(options: ["-r", environment.file("root.squashfs"), "--rw-pmem-device", image], script: loadDrivers + script)
      .start(environment)
    let isUp = running.waitForOutput("up", seconds: 150)
    unsafe _ = truncate(image, 4096)
    let run = running.end(nil, seconds: 60)
    try expect(isUp && run.status == 1, "a running guest, and status 1", in: run)
    try expect(run.errors.contains("made shorter") && run.errors.contains(image), "a message with the image's name", in: run)
  },
]

private let loadDrivers = "modprobe virtio_pmem && modprobe nd_pmem\n"
