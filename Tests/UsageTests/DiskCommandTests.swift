import Glibc
import Testing

/// `crosvm create_qcow2` and `crosvm disk info`, beside what qemu-img says.
@Suite(.enabled(if: Tool.hasImages, "needs qemu-utils and android-sdk-libsparse-utils"))
struct DiskCommandTests {
  let workplace = Workplace()

  private func crosvm(_ words: String...) throws -> Ending { try Crosvm.run(words, in: workplace) }

  // MARK: create_qcow2

  @Test func anEmptyImageIsMade() throws {
    for (size, bytes) in [("512", 512), ("1K", 1024), ("10M", 10 << 20), ("1T", 1 << 40)] {
      let ending = try crosvm("create_qcow2", "a", size)
      #expect(ending.status == 0 && ending.output.isEmpty && ending.errors.isEmpty, "\(ending)")
      #expect(try Tool.isClean("a", in: workplace))
      #expect(try JSON.object(try Tool.run("qemu-img", "info", "--output=json", "a", in: workplace))["virtual-size"] as? Int == bytes)
      unsafe #expect(unlink(workplace.path + "/a") == 0)
    }
  }

  @Test(arguments: [
    ("0", 1 as Int32, "its disk has 0 bytes"), ("511", 1, "its disk has 511 bytes"), ("513", 1, "a multiple of 512 is needed"),
    ("18446744073709551615", 1, "which is not possible"), ("18446744073709551616", 2, "out of range"), ("16777216T", 2, "out of range"),
    ("4096T", 1, "that its tables can hold"), ("-1", 2, "\"-1\""), ("1.5G", 2, "\"1.5G\""), ("1Q", 2, "unknown unit"), ("", 2, "SIZE"),
    ("ten", 2, "not a size"),
  ]) func aSizeThatCannotBeIsNamed(size: String, status: Int32, says: String) throws {
    try Mistake("create_qcow2", "a", size, says: says).expect(status: status, in: workplace)
  }

  @Test func whatANewImageCannotBeIsSaid() throws {
    workplace.writeZeros("base", count: 1 << 20)
    workplace.write("there", [1])
    unsafe #expect(symlink("/etc/hostname", workplace.path + "/out") == 0)
    for mistake in [
      Mistake("create_qcow2", "there", "1M", says: "\"there\" exists already"),
      Mistake("create_qcow2", "no/a", "1M", says: "\"no/a\" cannot be made", "No such file"),
      Mistake("create_qcow2", "a", "--backing-file", "missing", says: "backing file \"missing\" does not exist"),
      Mistake("create_qcow2", "a", "--backing-file", "/etc/hostname", says: "is an absolute path"),
      Mistake("create_qcow2", "a", "--backing-file", "../base", says: "not within the image's folder"),
      Mistake("create_qcow2", "a", "--backing-file", "out", says: "not within the image's folder"),
      Mistake("create_qcow2", "a", "--backing-file", "nbd:base", says: "not the name of a file"),
      Mistake(
        "create_qcow2", "a", "--backing-file", "base", "--backing-format", "qcow2", says: "\"base\" cannot be used: it is not a qcow2 image"
      ),
    ] {
      try mistake.expect(status: 1, in: workplace)
    }
    for mistake in [
      Mistake("create_qcow2", says: "PATH"), Mistake("create_qcow2", "a", says: "SIZE", "--backing-file"),
      Mistake("create_qcow2", "a", "1M", "2M", says: "one argument too many"),
      Mistake("create_qcow2", "a", "1M", "--backing-format", "raw", says: "--backing-format means nothing without", "give --backing-file"),
      Mistake(
        "create_qcow2", "a", "--backing-file", "base", "--backing-format", "composite",
        says: "\"composite\" is not possible; give raw or qcow2"),
      Mistake("create_qcow2", "a", "--backing-file", "base", "--backing-format", "vmdk", says: "\"vmdk\" is not possible"),
    ] {
      try mistake.expect(status: 2, in: workplace)
    }
    #expect(workplace.read("there") == [1])
  }

  @Test func anOverlayBeginsAsItsBackingFile() throws {
    try Tool.run("qemu-img", "create", "-q", "-f", "raw", "base", "1M", in: workplace)
    try Tool.run("qemu-io", "-f", "raw", "-c", "write -P 5 64k 64k", "base", in: workplace)
    #expect(try crosvm("create_qcow2", "a", "--backing-file", "base").status == 0)
    #expect(try crosvm("create_qcow2", "b", "--backing-file", "a").status == 0)
    #expect(try Tool.haveSameDisk("base", "raw", "b", "qcow2", in: workplace))
    // Larger, and with a name for the format.
    #expect(try crosvm("create_qcow2", "c", "2M", "--backing-file", "base", "--backing-format", "raw").status == 0)
    let info = try JSON.object(try Tool.run("qemu-img", "info", "--output=json", "c", in: workplace))
    #expect(info["virtual-size"] as? Int == 2 << 20 && info["backing-filename-format"] as? String == "raw")
  }

  // MARK: info

  @Test(arguments: [
    "", "compat=0.10", "cluster_size=512,refcount_bits=1", "cluster_size=2M,refcount_bits=64", "lazy_refcounts=on",
    "compression_type=zstd", "extended_l2=on,cluster_size=16k",
  ]) func anImageIsWhatQEMUSays(options: String) throws {
    let words = ["create", "-q", "-f", "qcow2"] + (options.isEmpty ? [] : ["-o", options]) + ["a", "10M"]
    #expect(try Crosvm(words, in: workplace, program: "qemu-img").end().status == 0)
    let ours = try JSON.object(try crosvm("disk", "info", "--json", "a").output)
    #expect(ours.count == 7)
    JSON.expectSame(ours, as: try JSON.object(try Tool.run("qemu-img", "info", "--output=json", "a", in: workplace)))
  }

  @Test func backingFilesAndSnapshotsAreNamed() throws {
    workplace.writeZeros("base \"1\"", count: 1 << 20)
    try Tool.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base \"1\"", "-F", "raw", "a", in: workplace)
    try Tool.run("qemu-img", "snapshot", "-c", "one", "a", in: workplace)
    let ours = try JSON.object(try crosvm("disk", "info", "--json", "a").output)
    #expect(ours["backing-filename"] as? String == "base \"1\"")
    JSON.expectSame(ours, as: try JSON.object(try Tool.run("qemu-img", "info", "--output=json", "a", in: workplace)))
    let text = try crosvm("disk", "info", "a").output
    for part in [
      "format: qcow2\n", "size: 1048576 bytes\n", "version: 3, clusters of 65536 bytes", "format \"raw\"\n", "internal snapshots: 1\n",
    ] {
      #expect(text.contains(part), "\(text)")
    }
  }

  @Test func otherFormatsAreTold() throws {
    workplace.writeZeros("raw", count: 1 << 20)
    try Tool.run("img2simg", "raw", "sparse", in: workplace)
    #expect(try crosvm("disk", "info", "raw").output.hasPrefix("format: raw\nsize: 1048576 bytes\n"))
    #expect(try crosvm("disk", "info", "sparse").output.hasPrefix("format: android-sparse\n"))
    JSON.expectSame(
      try JSON.object(try crosvm("disk", "info", "--json", "raw").output),
      as: try JSON.object(try Tool.run("qemu-img", "info", "--output=json", "raw", in: workplace)))
  }

  @Test(arguments: ["info", "check", "repair", "map"]) func whatCannotBeReadIsSaid(command: String) throws {
    unsafe #expect(mkdir(workplace.path + "/directory", 0o755) == 0 && mkfifo(workplace.path + "/fifo", 0o644) == 0)
    workplace.write("short", [0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3])
    try Mistake("disk", command, "missing", says: "\"missing\" does not exist").expect(status: 1, in: workplace)
    try Mistake("disk", command, "directory", says: "\"directory\" is a directory").expect(status: 1, in: workplace)
    try Mistake("disk", command, "fifo", says: "\"fifo\"").expect(status: 1, in: workplace)
    try Mistake("disk", command, "short", says: "\"short\" cannot be used: the file ends within its header").expect(
      status: 1, in: workplace)
    try Mistake("disk", command, says: "PATH").expect(status: 2, in: workplace)
    // There is nothing to print it to.
    workplace.writeZeros("disk", count: 512)
    #expect(try Crosvm.run(["disk", "info", "disk"], in: workplace, closed: [1]).status == 1)
  }
}
