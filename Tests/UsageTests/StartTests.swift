import Glibc
import Testing

/// What only shows when the machine is made: status 1.
@Suite(.enabled(if: Crosvm.hasKVM && Crosvm.hasNamespaces, "needs a usable /dev/kvm and namespaces"))
struct StartTests {
  let workplace = Workplace()

  init() {
    workplace.write("kernel", ELFFile().bytes)
    workplace.write("firmware", Firmware.resets)
  }

  @Test(
    arguments: [
      ("empty", [], "is empty; give a bzImage or an ELF vmlinux"),
      ("text", Array("#!/bin/sh\n".utf8), "is only 10 bytes long; give an x86-64 bzImage"),
      ("script", Array(String(repeating: "# a line\n", count: 200).utf8), "is neither a bzImage nor an ELF file (it begins with 0x23 0x20"),
      ("bzImage, cut before its header", Array(bzImage.prefix(400)), "is only 400 bytes long; give an x86-64 bzImage"),
      ("bzImage, cut in its header", Array(bzImage.prefix(0x210)), "is truncated: the set-up header ends at byte"),
      (
        "bzImage, cut in its payload", Array(bzImage.dropLast(5)),
        "is truncated: the protected-mode code ends at byte 5120 and the file at 5115; copy"
      ),
      ("ELF, cut in its header", Array(ELFFile().bytes.prefix(40)), "is truncated: the ELF header ends at byte"),
      ("ELF, cut in its table", Array(ELFFile().bytes.prefix(100)), "is truncated: the program header table ends at byte 120"),
      (
        "ELF, cut in its segment", Array(ELFFile().bytes.dropLast()),
        "is truncated: the segment of program header 0 ends at byte 8192 and the file at 8191"
      ),
      ("ELF for i386", ELFFile.with { ($0.width, $0.machine) = (1, 3) }, "is a 32-bit ELF file for i386; give a 64-bit x86-64 kernel"),
      ("ELF for arm64", ELFFile.with { $0.machine = 183 }, "is an ELF file for arm64; give a kernel built for x86-64"),
      (
        "ELF with a table that wraps", ELFFile.with { $0.tableOffset = .max - 8 },
        "e_phoff is 0xfffffffffffffff7, expected an offset inside the file"
      ),
      ("ELF with an offset that wraps", ELFFile.with { $0.offset = .max - 8 }, "program header 0's p_offset is 0xfffffffffffffff7"),
      ("ELF with an offset beyond the file", ELFFile.with { $0.offset = 1 << 40 }, "the segment of program header 0 ends at byte"),
      (
        "ELF with an address that wraps", ELFFile.with { $0.address = .max - 0xfff + 0x800 },
        "program header 0: 4096 bytes at 0xfffffffffffff800 exceed"
      ),
      (
        "ELF with an address beyond RAM", ELFFile.with { $0.address = 0x7000_0000 },
        "at 0x70000000 are not all in RAM; give the guest more memory"
      ),
      ("ELF over the first MiB", ELFFile.with { $0.address = 0 }, "at 0x0 cover the first MiB"),
      ("ELF with an entry elsewhere", ELFFile.with { $0.entry = 0x900_0000 }, "0x9000000"),
    ] as [(String, [UInt8], String)])
  func kernelsThatCannotBeStartedAreNamed(name: String, bytes: [UInt8], says part: String) throws {
    workplace.write(name, bytes)
    try Mistake.ofKernel(name, says: "the kernel \"\(name)\" ", part).expect(status: 1, in: workplace)
  }

  /// What a guest writes may be secret: it goes where the user said, or nowhere.
  @Test func anEphemeralDiskIsKeptInTheUsersFolder() throws {
    workplace.writeZeros("disk", count: 1 << 20)
    try Mistake(
      "run", "--bios", "firmware", "--block", "disk,ephemeral", says: "make a temporary file in nowhere: No such file or directory"
    ).expect(status: 1, in: workplace, launcher: ["env", "TMPDIR=nowhere"])
    let ending = try Crosvm.run(
      ["run", "--bios", "firmware", "--block", "disk,ephemeral"], in: workplace, launcher: ["env", "TMPDIR=\(workplace.path)"])
    #expect(ending.status == 0 && ending.errors.isEmpty, "\(ending)")
  }

  @Test func whatDoesNotFitIntoMemoryIsNamed() throws {
    workplace.writeZeros("initramfs", count: 1 << 30)
    try Mistake.ofKernel(
      "-m", "64", "-i", "initramfs", "kernel", says: "the initramfs \"initramfs\" is 1073741824 bytes", "give the guest more memory"
    )
    .expect(status: 1, in: workplace)
    workplace.write("empty", [])
    try Mistake.ofKernel("-i", "empty", "kernel", says: "the initramfs \"empty\" is empty").expect(status: 1, in: workplace)
  }

  @Test func firmwareOfAnotherSizeIsNamed() throws {
    workplace.writeZeros("small", count: 4096)
    workplace.writeZeros("large", count: 1 << 30)
    try Mistake("run", "--bios", "small", says: "the firmware \"small\" is 4096 bytes", "65536 to 16777216").expect(
      status: 1, in: workplace)
    try Mistake("run", "--bios", "large", says: "the firmware \"large\" is 1073741824 bytes").expect(status: 1, in: workplace)
  }

  @Test func disksThatCannotBeUsedAreNamed() throws {
    workplace.writeZeros("ragged", count: 1000)
    workplace.writeZeros("empty", count: 0)
    workplace.writeZeros("odd", count: 4096 + 512)
    let mistakes = [
      Mistake.ofKernel(
        "--rwdisk", "ragged", "kernel", says: "the disk image \"ragged\" has 1000 bytes", "multiple of 512; extend it to 1024 bytes"),
      Mistake.ofKernel("-d", "empty", "kernel", says: "the disk image \"empty\" is empty; give it a size"),
      Mistake.ofKernel(
        "-d", "odd,block-size=4096", "kernel", says: "the disk image \"odd\" has 4608 bytes",
        "multiple of 4096; extend it to 8192 bytes"),
    ]
    for mistake in mistakes { try mistake.expect(status: 1, in: workplace) }
  }

  @Test func persistentMemoryThatCannotBeUsedIsNamed() throws {
    workplace.writeZeros("empty", count: 0)
    workplace.writeZeros("huge", count: (4 << 40) + 512)
    let mistakes = [
      Mistake.ofKernel("--pmem", "empty", "kernel", says: "the disk image \"empty\" is empty; give it a size"),
      Mistake.ofKernel("--pmem-device", "huge", "kernel", says: "the persistent memory image \"huge\" has", "at most 4 TiB"),
    ]
    for mistake in mistakes { try mistake.expect(status: 1, in: workplace) }
  }

  @Test(arguments: [[], ["--disable-sandbox"]]) func persistentMemoryIsLockedWhileItIsUsed(options: [String]) throws {
    workplace.writeZeros("image", count: 4096)
    workplace.write("spins", Firmware.spins)
    let first = try Crosvm(["run", "--rw-pmem-device", "image", "--bios", "spins"] + options, in: workplace)
    #expect(first.waitForOutput("A"))
    for option in ["--pmem", "--rwdisk"] {
      try Mistake.ofKernel(option, "image", "kernel", says: "the disk image \"image\" is used by another process", "lock=false")
        .expect(status: 1, in: workplace)
    }
    first.send(SIGTERM)
    let ending = first.end()
    #expect(ending.status == 0 && ending.errors.contains("pmem0") && ending.errors.contains("extend it with truncate -s 2097152"))
  }

  @Test(arguments: [[], ["--disable-sandbox"]]) func persistentMemoryThatIsMadeShorterEndsTheMachine(options: [String]) throws {
    workplace.writeZeros("image", count: 2 << 20)
    workplace.write("spins", Firmware.spins)
    let machine = try Crosvm(["run", "--rw-pmem-device", "image", "--bios", "spins"] + options, in: workplace)
    #expect(machine.waitForOutput("A"))
    #expect(unsafe truncate("\(workplace.path)/image", 4096) == 0)
    let ending = machine.end()
    #expect(
      ending.status == 1 && ending.errors.contains("\"image\" was made shorter while the guest used it, from 2097152 to 4096"), "\(ending)")
  }

  @Test func aDiskThatAnotherInstanceUsesIsNamed() throws {
    workplace.writeZeros("disk", count: 4096)
    workplace.write("spins", Firmware.spins)
    let first = try Crosvm(["run", "--rwdisk", "disk", "--bios", "spins"], in: workplace)
    #expect(first.waitForOutput("A"))
    try Mistake.ofKernel("--rwdisk", "disk", "kernel", says: "the disk image \"disk\" is used by another process", "lock=false")
      .expect(status: 1, in: workplace)
    try Mistake.ofKernel("-d", "disk", "kernel", says: "the disk image \"disk\" is written by another process").expect(
      status: 1, in: workplace)
    first.send(SIGTERM)
    #expect(first.end().status == 0)
  }

  @Test func serialPortsThatLeadNowhereAreNamed() throws {
    workplace.writeZeros("file", count: 0)
    let mistakes = [
      Mistake.ofKernel(
        "--serial", "unix,path=socket", "kernel", says: "serial port ttyS0: nothing receives at the socket \"socket\"", "start first"
      ),
      Mistake.ofKernel("--serial", "unix,path=file,num=2", "kernel", says: "serial port ttyS1: nothing receives at the socket \"file\""),
    ]
    for mistake in mistakes { try mistake.expect(status: 1, in: workplace) }
  }

  @Test(
    .enabled(if: OtherUser.canRun && OtherUser.isKeptFromKVM, "needs root, setpriv, and a /dev/kvm that not all users may open"))
  func aKVMThatThisUserMayNotOpenIsNamed() throws {
    try Mistake("run", "--bios", "firmware", says: "/dev/kvm may not be opened by this user: get access to it").expect(
      status: 1, in: workplace, launcher: OtherUser.launcher)
    try Mistake("run", "kernel", says: "/dev/kvm may not be opened by this user: get access to it").expect(
      status: 1, in: workplace, launcher: OtherUser.launcher)
  }
}

extension Mistake {
  /// One in starting a kernel, which a para-virtual KVM would not start at all.
  fileprivate static func ofKernel(_ words: String..., says parts: String...) -> Mistake {
    Mistake(words: ["run", "--allow-paravirtual-kvm"] + words, parts: parts)
  }
}

/// Where KVM is para-virtual, a kernel gets that far.
@Suite(.enabled(if: Crosvm.hasKVM && Host.isParavirtual, "needs a usable /dev/kvm without hardware virtualization"))
struct ParavirtualKVMTests {
  @Test func aStockKernelIsRefused() throws {
    let workplace = Workplace()
    workplace.write("kernel", ELFFile().bytes)
    try Mistake("run", "kernel", says: "this host has no hardware virtualization", "tools/lab", "--allow-paravirtual-kvm").expect(
      status: 1, in: workplace)
  }
}

/// The machine that the tests run on.
private enum Host {
  static let isParavirtual: Bool = {
    let file = unsafe open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC)
    defer { close(file) }
    let words = String(decoding: contents(file), as: UTF8.self).split { $0 == " " || $0 == "\n" }
    return !words.contains("svm") && !words.contains("vmx")
  }()
}

/// Where there is no /dev/kvm to open, that is what is said.
@Suite(.enabled(if: unsafe access("/dev/kvm", F_OK) != 0, "needs a host without /dev/kvm"))
struct NoKVMTests {
  @Test func aMissingKVMIsNamed() throws {
    let workplace = Workplace()
    workplace.write("firmware", Firmware.resets)
    try Mistake("run", "--bios", "firmware", says: "/dev/kvm does not exist: load the kvm module").expect(status: 1, in: workplace)
    workplace.write("kernel", ELFFile().bytes)
    try Mistake("run", "kernel", says: "/dev/kvm does not exist: load the kvm module").expect(status: 1, in: workplace)
  }
}

extension OtherUser {
  static let isKeptFromKVM: Bool = {
    var status = stat()
    return unsafe stat("/dev/kvm", &status) == 0 && status.st_mode & 0o006 == 0
  }()
}
