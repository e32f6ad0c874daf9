import Glibc

/// Disk images of every format, and hosts that fail.
let imageTests: [GuestTest] = [
  GuestTest("images of every kind keep what fio, ext4 and xfs write") { environment in
    let images = try Images(environment)
    defer { images.remove() }
    let disks = ["raw", "qcow2", "qcow2-small", "qcow2-overlay", "composite"]
    // Sums of all files, before and after they were forgotten; and the checks of both file systems.
    let script = """
      mkdir -p /tmp/m
      fill() {
        cp -a /etc $3 /tmp/m/; sum=$(cd /tmp/m; find . -type f | sort | xargs cat | sha256sum); sync
        umount /tmp/m; echo 3 >/proc/sys/vm/drop_caches; mount /dev/$1 /tmp/m
        [ "$sum" = "$(cd /tmp/m; find . -type f | sort | xargs cat | sha256sum)" ] && echo $1-$2-same=yes; umount /tmp/m
      }
      for d in vdb vdc vdd vde vdf; do
        fio --name=v --filename=/dev/$d --rw=randrw --bsrange=512-64k --size=24M --iodepth=16 --ioengine=libaio --direct=1 \\
          --verify=crc32c --verify_fatal=1 --minimal >/dev/null 2>&1 && echo $d-fio=yes
        mkfs.ext4 -q -F /dev/$d && mount -o discard /dev/$d /tmp/m && fill $d ext4 /usr/sbin && e2fsck -fn /dev/$d >/dev/null 2>&1 && echo $d-ext4=yes
        mkfs.xfs -q -f /dev/$d && mount /dev/$d /tmp/m && fill $d xfs && xfs_repair -n /dev/$d >/dev/null 2>&1 && echo $d-xfs=yes
      done
      """
    let options = try ["-r", environment.file("root.squashfs"), "-m", "512"] + disks.flatMap { ["--block", try images.make($0)] }
    let run = try Guest(options: options, script: script, seconds: 900).run(environment)
    for disk in ["vdb", "vdc", "vdd", "vde", "vdf"] {
      for word in ["fio", "ext4", "ext4-same", "xfs", "xfs-same"] {
        try expect(run.value("\(disk)-\(word)") == "yes", "\(disk): \(word)", in: run)
      }
    }
    try images.check()
  },
  GuestTest("what a guest discards of a qcow2 image becomes free on the host, and a new size is seen") { environment in
    let images = try Images(environment)
    defer { images.remove() }
    let image = try images.make("qcow2")
    let socket = environment.scratchFile("control.sock")
    let script = """
      dd if=/dev/urandom of=/dev/vdb bs=1M count=64 oflag=direct 2>/dev/null; sync
      blkdiscard -o 0 -l 50331648 /dev/vdb && echo discarded=yes
      cmp -n 50331648 /dev/zero /dev/vdb && echo zeros=yes
      echo ready=yes; for i in $(seq 60); do [ $(cat /sys/block/vdb/size) -gt 655360 ] && break; sleep 1; done
      echo size=$(lsblk -bdno SIZE /dev/vdb)
      dd if=/dev/urandom of=/tmp/a bs=1M count=1 2>/dev/null; dd if=/tmp/a of=/dev/vdb bs=1M seek=330 oflag=direct 2>/dev/null
      dd if=/dev/vdb of=/tmp/b bs=1M skip=330 count=1 iflag=direct 2>/dev/null; cmp /tmp/a /tmp/b && echo new=yes
      """
    let running = try Guest(options: ["-r", environment.file("root.squashfs"), "--block", image, "-s", socket], script: script)
      .start(environment)
    let isReady = running.waitForOutput("ready=yes", seconds: 300)
    let resized = try Child.run(
      [environment.crosvm, "disk", "resize", "1", "\(400 << 20)", socket], input: "", seconds: 60, directory: environment.scratch)
    let run = running.end(nil, seconds: 300)
    try expect(isReady && run.value("discarded") == "yes" && run.value("zeros") == "yes", "a discard that works", in: run)
    try expect(resized.status == 0, "another size", in: resized)
    try expect(run.value("size") == "\(400 << 20)" && run.value("new") == "yes", "the new size in the guest", in: run)
    // 16 of 64 MiB stay, and tables.
    try expect(try images.blocks <= (24 << 20) / 512, "at most 24 MiB of the image in use on the host")
    try images.check()
  },
  GuestTest("composite and Android sparse disks are read, an ephemeral one is written and forgets") { environment in
    let images = try Images(environment)
    defer { images.remove() }
    let base = try images.make("raw")
    let script = """
      echo head=$(head -c 4 /dev/vdb); echo body=$(dd if=/dev/vdb bs=512 skip=2 count=1 2>/dev/null | head -c 4); echo ro=$(cat /sys/block/vdc/ro)
      echo sparse=$(head -c 8 /dev/vdc); echo gone >/dev/vdd; echo kept >/dev/vde; sync
      dd if=/dev/vdd of=/tmp/x bs=512 count=1 iflag=direct 2>/dev/null; echo wrote=$(head -c 4 /tmp/x)
      """
    let options = [
      "-r", environment.file("root.squashfs"), "--block", try images.makeComposite(), "--block", try images.makeSparse(),
      "--block", "\(base),ephemeral", "--block", try images.make("qcow2"),
    ]
    let run = try Guest(options: options, script: script).run(environment)
    try expect(run.value("head") == "head" && run.value("body") == "body", "the parts of the composite disk", in: run)
    try expect(run.value("sparse") == "fillfill" && run.value("ro") == "1", "the content of the sparse image", in: run)
    try expect(run.value("wrote") == "gone", "what was written, as long as the machine is there", in: run)
    let again = try Guest(options: Array(options.prefix(6)) + ["--block", base], script: "echo now=$(head -c 4 /dev/vdd | tr -d '\\0')")
      .run(environment)
    try expect(again.status == 0 && again.value("now") == "", "an image that was not written", in: again)
    try images.check()
  },
  GuestTest("disks are unplugged with requests on their way, three times, and work when they are back") { environment in
    let images = try Images(environment)
    defer { images.remove() }
    let disks = try [images.make("raw") + ",executor=threads", images.make("qcow2"), images.make("qcow2-overlay")]
    // The driver takes no request any more, waits for those that it has sent, and resets the device.
    let script = """
      job() { d=$1; shift; fio --name=v --filename=/dev/$d --bs=4k --iodepth=32 --ioengine=libaio --direct=1 "$@" >/dev/null 2>&1; }
      count() { set -- $(cat /sys/block/$1/stat); echo $(($1 + $5)); }
      busy() { b=$(count $1); for i in $(seq 300); do [ $(count $1) -gt $((b + 100)) ] && echo $1-busy=$n && break; sleep 0.1; done; }
      all='vdb vdc vdd'; for d in $all; do slots="$slots $(readlink -f /sys/block/$d/device/..)"; done
      for n in 1 2 3; do
        for d in $all; do job $d --rw=randrw --time_based --runtime=600 & done
        for d in $all; do busy $d; done
        for s in $slots; do echo 1 >$s/remove; done
        wait; echo gone=$(ls -d /sys/block/vd[bcd] 2>/dev/null | wc -l); echo 1 >/sys/bus/pci/rescan
        for i in $(seq 50); do [ -b /dev/vdd ] && break; sleep 0.2; done
        for d in $all; do job $d --rw=randwrite --size=4M --verify=crc32c --verify_fatal=1 && echo $d-good=$n; done
      done
      """
    let options = ["-r", environment.file("root.squashfs")] + disks.flatMap { ["--block", $0] }
    let run = try Guest(options: options, script: script, seconds: 400).run(environment)
    for round in 1...3 {
      for disk in ["vdb", "vdc", "vdd"] {
        try expect(run.output.contains("\(disk)-busy=\(round)"), "\(disk) at work before turn \(round)", in: run)
        try expect(run.output.contains("\(disk)-good=\(round)"), "\(disk) back and right after turn \(round)", in: run)
      }
    }
    try expect(run.lines.count { $0 == "gone=0" } == 3, "disks that are gone in between", in: run)
    try images.check()
  },
  GuestTest("a full host disk and a file cut short are I/O errors, and the guest goes on") { environment in
    let folder = environment.scratchFile("full")
    unsafe _ = mkdir(folder, 0o755)
    let mounted = try Child.run(
      ["mount", "-t", "tmpfs", "-o", "size=12m", "none", folder], input: "", seconds: 60, directory: environment.scratch)
    try expect(mounted.status == 0, "a small file system", in: mounted)
    defer {
      unsafe _ = umount2(folder, 2)
      unsafe _ = rmdir(folder)
    }
    let full = folder + "/disk"
    try Child.makeDisk(full, bytes: 64 << 20)
    let cut = environment.scratchFile("cut")
    try Child.makeDisk(cut, bytes: 16 << 20)
    let script = """
      dd if=/dev/urandom of=/dev/vdb bs=64k count=512 oflag=direct 2>/tmp/error && echo full=no || grep -o 'Input/output error' /tmp/error
      dd if=/dev/vdb of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null && echo reads=yes
      dd if=/dev/vdc of=/dev/null bs=64k count=1 skip=200 iflag=direct 2>/dev/null && echo whole=yes
      echo ready=yes
      for i in $(seq 60); do dd if=/dev/vdc of=/dev/null bs=64k count=1 skip=200 iflag=direct 2>/tmp/error || break; sleep 1; done
      grep -o 'Input/output error' /tmp/error | sed s/^/cut:/; echo alive=yes
      """
    let running = try Guest(
      options: ["-r", environment.file("root.squashfs"), "--rwdisk", full, "--rwdisk", cut], script: script
    ).start(environment)
    let isReady = running.waitForOutput("ready=yes", seconds: 300)
    unsafe _ = truncate(cut, 4096)
    let run = running.end(nil, seconds: 300)
    try expect(isReady && run.output.contains("Input/output error") && run.value("full") != "no", "an error of the full disk", in: run)
    try expect(run.value("reads") == "yes" && run.value("whole") == "yes", "disks that are read", in: run)
    try expect(run.output.contains("cut:Input/output error") && run.value("alive") == "yes", "an error of the file cut short", in: run)
    try expect(run.status == 0 && run.errors.contains("No space left on device"), "the host's reason in the log", in: run)
  },
]

/// Images in a folder of their own, made by qemu-img.
private final class Images {
  private static let size = 320 << 20
  private let folder: String
  private var names: [String] = []

  init(_ environment: TestEnvironment) throws {
    folder = environment.scratchFile("images")
    unsafe _ = mkdir(folder, 0o755)
  }

  /// Makes an image, writable.
  ///
  /// - Returns: The value of `--block`.
  func make(_ name: String) throws -> String {
    names.append(name)
    switch name {
    case "raw": try qemu("create", "-f", "raw", name, "\(Images.size)")
    case "composite":
      // No border of a file system's block, and one of a part that ends in the middle of the disk.
      let first = 100 << 20 + 512
      for (part, bytes) in [("first", first), ("second", Images.size - first)] {
        try qemu("create", "-f", "raw", part, "\(bytes)")
      }
      return try makeComposite(name, [("first", first), ("second", Images.size - first)], isWritable: true)
    case "qcow2-small": try qemu("create", "-f", "qcow2", "-o", "cluster_size=4096,refcount_bits=8", name, "\(Images.size)")
    case "qcow2-overlay":
      let bytes = (0..<(4 << 20)).map { UInt8(truncatingIfNeeded: $0 / 3 ^ $0 / 4096) }
      try Child.write(bytes, to: "\(folder)/base.raw")
      unsafe _ = truncate("\(folder)/base.raw", Images.size)
      try qemu("convert", "-c", "-O", "qcow2", "base.raw", "base")
      try qemu("create", "-f", "qcow2", "-b", "base", "-F", "qcow2", name)
      return "\(folder)/\(name),format=qcow2,backing=on"
    default: try qemu("create", "-f", "qcow2", name, "\(Images.size)")
    }
    return "\(folder)/\(name)"
  }

  /// Makes a composite disk of 1 KiB and 1 MiB that is only read: `head` and `body`.
  func makeComposite() throws -> String {
    try Child.write(Array("head".utf8) + [UInt8](repeating: 0, count: 1020), to: "\(folder)/head")
    try Child.write(Array("body".utf8) + [UInt8](repeating: 0, count: (1 << 20) - 4), to: "\(folder)/body")
    return try makeComposite("small-composite", [("head", 1024), ("body", 1 << 20)], isWritable: false)
  }

  /// Makes a composite disk of files one after the other (crosvm's cdisk_spec.proto).
  private func makeComposite(_ name: String, _ parts: [(file: String, bytes: Int)], isWritable: Bool) throws -> String {
    // Fields of a number of bytes have the number's type 2, integers type 0; integers have seven bits a byte, lowest first.
    func varint(_ value: Int) -> [UInt8] { value < 128 ? [UInt8(value)] : [UInt8(value & 127) | 128] + varint(value >> 7) }
    func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] { [number << 3 | 2] + varint(bytes.count) + bytes }
    func field(_ number: UInt8, _ value: Int) -> [UInt8] { [number << 3] + varint(value) }
    var (message, offset) = (field(1, 2), 0)
    for part in parts {
      message += field(2, field(1, Array(part.file.utf8)) + field(2, offset) + field(3, isWritable ? 1 : 0))
      offset += part.bytes
    }
    try Child.write(Array("composite_disk\u{1d}".utf8) + message + field(3, offset), to: "\(folder)/\(name)")
    return "\(folder)/\(name),format=composite" + (isWritable ? "" : ",ro")
  }

  /// Makes an Android sparse image of one block that is filled with "fill".
  func makeSparse() throws -> String {
    let header: [UInt8] = [0x3a, 0xff, 0x26, 0xed, 1, 0, 0, 0, 28, 0, 12, 0, 0, 16, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    let chunk: [UInt8] = [0xc2, 0xca, 0, 0, 1, 0, 0, 0, 16, 0, 0, 0] + Array("fill".utf8)
    try Child.write(header + chunk, to: "\(folder)/sparse")
    return "\(folder)/sparse,ro"
  }

  /// Expects `qemu-img check` to find nothing, not even lost clusters, in those that it knows.
  func check() throws {
    for name in names where name.hasPrefix("qcow2") { try qemu("check", name) }
  }

  /// What the images take on the host, in blocks of 512 bytes.
  var blocks: Int {
    get throws {
      try names.reduce(0) { sum, name in
        let usage = try Child.run(["stat", "-c", "%b", "\(folder)/\(name)"], input: "", seconds: 10, directory: folder)
        return sum + (usage.output.split(whereSeparator: \.isNewline).first.flatMap { Int($0) } ?? 1 << 40)
      }
    }
  }

  private func qemu(_ words: String...) throws {
    let command = ["sh", "-c", "cd \"$0\" && exec qemu-img \"$@\"", folder] + words
    let run = try Child.run(command, input: "", seconds: 200, directory: folder)
    try expect(run.status == 0, "qemu-img \(words.joined(separator: " ")) to work", in: run)
  }

  func remove() {
    for name in Child.entries(of: folder) { unsafe _ = unlink("\(folder)/\(name)") }
    unsafe _ = rmdir(folder)
  }
}
