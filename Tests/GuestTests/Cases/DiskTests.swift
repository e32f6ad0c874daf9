/// virtio-block with the stock driver.
let diskTests: [GuestTest] = [
  GuestTest("what is written to an ext4 root and synced is there after a second boot") { environment in
    let disk = environment.scratchFile("root.ext4")
    let copied = try Child.run(
      ["cp", "--sparse=always", environment.file("root.ext4"), disk], input: "", seconds: 400, directory: environment.scratch)
    try expect(copied.status == 0, "a copy of the root image", in: copied)
    let write = "dd if=/dev/urandom of=/root/data bs=1M count=8 2>/dev/null; sync; echo sum=$(sha256sum /root/data | cut -c1-64)"
    let first = try Guest(options: ["--rwdisk", disk], parameters: ["root=/dev/vda", "rw"], script: write).run(environment)
    try expect(first.status == 0 && first.value("sum")?.count == 64, "a checksum of what was written", in: first)
    let second = try Guest(options: ["--block", "\(disk),root"], script: "echo sum=$(sha256sum /root/data | cut -c1-64)").run(environment)
    try expect(second.value("sum") == first.value("sum"), "the same checksum after the second boot", in: second)
  },
  GuestTest("26 disks are found, the last one can be written") { environment in
    let disks = try (0..<26).map { index in
      let path = environment.scratchFile("disk\(index)")
      try Child.makeDisk(path, bytes: 1 << 20)
      return path
    }
    let script = """
      echo disks=$(ls -d /sys/block/vd? | wc -l)
      echo marked >/dev/vdz && sync && echo z=$(head -c 6 /dev/vdz)
      """
    let run = try Guest(options: disks.flatMap { ["--rwdisk", $0] }, script: script).run(environment)
    try expect(run.value("disks") == "26", "26 disks", in: run)
    try expect(Child.read(disks[25]).hasPrefix("marked"), "what was written in the last disk's file", in: run)
  },
  GuestTest("a disk with limits is no faster than they allow, and one without io_uring works") { environment in
    let disks = try ["requests", "bytes", "plain"].map { name in
      let path = environment.scratchFile(name)
      try Child.makeDisk(path, bytes: 16 << 20)
      return path
    }
    // Each takes four seconds and more: 200 requests less a burst of 100 at 25 a second; 12 MiB less 4 MiB at 2 MiB a second.
    let script = """
      begin=$(cut -d' ' -f1 /proc/uptime); dd if=/dev/vda of=/dev/null bs=4096 count=200 iflag=direct 2>/dev/null
      middle=$(cut -d' ' -f1 /proc/uptime); dd if=/dev/zero of=/dev/vdb bs=1M count=12 oflag=direct 2>/dev/null
      end=$(cut -d' ' -f1 /proc/uptime)
      echo requests=$(echo "$begin $middle" | awk '{ print ($2 - $1 > 3.5) ? "slow" : "fast" }')
      echo bytes=$(echo "$middle $end" | awk '{ print ($2 - $1 > 3.5) ? "slow" : "fast" }')
      dd if=/dev/urandom of=/tmp/a bs=64k count=16 2>/dev/null; dd if=/tmp/a of=/dev/vdc bs=64k conv=fsync 2>/dev/null
      blkdiscard -o 1048576 -l 1048576 /dev/vdc; blkdiscard -z -o 2097152 -l 65536 /dev/vdc
      dd if=/dev/vdc of=/tmp/b bs=64k count=16 iflag=direct 2>/dev/null; cmp /tmp/a /tmp/b && echo same=yes
      """
    let run = try Guest(
      options: [
        "--block", "\(disks[0]),iops=25,iops-burst=100", "--block", "\(disks[1]),bandwidth=2M,bandwidth-burst=4M",
        "--block", "\(disks[2]),executor=threads",
      ], script: script
    ).run(environment)
    try expect(run.value("requests") == "slow" && run.value("bytes") == "slow", "limits that are kept", in: run)
    try expect(run.value("same") == "yes", "the same bytes again without io_uring", in: run)
  },
  GuestTest("a read-only disk refuses writes") { environment in
    let disk = environment.scratchFile("readonly")
    try Child.makeDisk(disk, bytes: 1 << 20)
    let script = "echo ro=$(cat /sys/block/vda/ro); echo x 2>/dev/null >/dev/vda || echo refused=yes"
    let run = try Guest(options: ["-d", disk], script: script).run(environment)
    try expect(run.value("ro") == "1" && run.value("refused") == "yes", "a read-only disk", in: run)
  },
  GuestTest("a disk with several queues, a packed ring, an identity and 4096-byte blocks shows them to the driver") { environment in
    let disk = environment.scratchFile("queues")
    try Child.makeDisk(disk, bytes: 16 << 20)
    let script = """
      echo queues=$(ls /sys/block/vda/mq | wc -l)
      echo id=$(cat /sys/block/vda/serial)
      echo block=$(cat /sys/block/vda/queue/logical_block_size)
      bit=$(cut -c35 /sys/bus/virtio/devices/virtio0/features); echo packed=$bit
      dd if=/dev/urandom of=/tmp/data bs=64k count=32 2>/dev/null
      dd if=/tmp/data of=/dev/vda bs=64k conv=fsync 2>/dev/null
      echo 3 >/proc/sys/vm/drop_caches
      cmp -n 2097152 /tmp/data /dev/vda && echo same=yes
      """
    let run = try Guest(
      options: ["-c", "2", "--block", "\(disk),queues=2,packed-queue,id=backup-7,block-size=4096"], script: script
    ).run(environment)
    try expect(run.value("queues") == "2", "2 queues", in: run)
    try expect(run.value("id") == "backup-7", "the disk's identity", in: run)
    try expect(run.value("block") == "4096", "blocks of 4096 bytes", in: run)
    try expect(run.value("packed") == "1", "a packed ring", in: run)
    try expect(run.value("same") == "yes", "the contents back", in: run)
  },
  GuestTest("blocks of a disk that are discarded become free on the host, and zeroed ones read as zeros") { environment in
    let disk = environment.scratchFile("discard")
    try Child.makeDisk(disk, bytes: 16 << 20)
    let script = """
      dd if=/dev/urandom of=/dev/vda bs=1M count=16 conv=fsync 2>/dev/null
      blkdiscard -o 0 -l 8388608 /dev/vda && echo discarded=yes
      blkdiscard -z -o 8388608 -l 4194304 /dev/vda && echo zeroed=yes
      echo 3 >/proc/sys/vm/drop_caches
      cmp -n 12582912 /dev/zero /dev/vda && echo zeros=yes
      """
    let run = try Guest(options: ["-r", environment.file("root.squashfs"), "--rwdisk", disk], script: script.replacing("vda", with: "vdb"))
      .run(environment)
    try expect(run.value("discarded") == "yes" && run.value("zeroed") == "yes", "discard and write zeroes to work", in: run)
    try expect(run.value("zeros") == "yes", "zeros where blocks were discarded or zeroed", in: run)
    let usage = try Child.run(["stat", "-c", "%b", disk], input: "", seconds: 10, directory: environment.scratch)
    let blocks = usage.output.split(whereSeparator: \.isNewline).first.flatMap { Int($0) } ?? .max
    try expect(blocks <= (9 << 20) / 512, "at most 9 MiB of the file's 16 in use on the host", in: usage)
  },
]
