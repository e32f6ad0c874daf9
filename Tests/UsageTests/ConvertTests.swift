import Glibc
import Testing

/// `crosvm disk convert`, as a user types it.
@Suite(.enabled(if: Tool.hasImages, "needs qemu-utils and android-sdk-libsparse-utils"))
struct ConvertTests {
  let workplace = Workplace()

  /// A raw disk with data, zeroes that are written, and holes.
  private func makeRaw(_ name: String) throws {
    try Tool.run("qemu-img", "create", "-q", "-f", "raw", name, "3M", in: workplace)
    try Tool.run(
      "qemu-io", "-f", "raw", "-c", "write -P 1 512 70k", "-c", "write -P 0 1M 64k", "-c", "write -P 3 3145216 512", name, in: workplace)
  }

  private func convert(_ words: String...) throws -> Ending { try Crosvm.run(["disk", "convert"] + words, in: workplace) }

  /// Images of each format with one disk, by their names; and what must be said to read them.
  private static let sources: [(name: String, options: [String])] = [
    ("raw", []), ("disk.qcow2", []), ("old.qcow2", []), ("compressed.qcow2", []),
    ("overlay.qcow2", ["--source-format", "qcow2", "--backing"]), ("sparse", []), ("composite", ["--source-format", "composite"]),
    ("raw", ["--source-format", "raw"]),
  ]

  private func makeSources() throws {
    try makeRaw("raw")
    for (name, options) in [
      ("disk.qcow2", "cluster_size=4096"), ("old.qcow2", "compat=0.10"), ("compressed.qcow2", "compression_type=zstd"),
    ] {
      let isCompressed = name.hasPrefix("compressed") ? "-c" : "-q"
      try Tool.run(
        "qemu-img", "convert", isCompressed, "-f", "raw", "-O", "qcow2", "-o", options, "raw", name, in: workplace)
    }
    try Tool.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "raw", "-F", "raw", "overlay.qcow2", in: workplace)
    try Tool.run("img2simg", "raw", "sparse", in: workplace)
    // A version, and a part "raw" from 0 on (crosvm's cdisk_spec.proto): the field's number and type before each value.
    let part: [UInt8] = [0x0a, 3] + Array("raw".utf8)
    workplace.write(
      "composite", Array("composite_disk\u{1d}".utf8) + [0x08, 2, 0x12, UInt8(part.count)] + part + [0x18, 0x80, 0x80, 0xc0, 0x01])
  }

  @Test func everyFormatBecomesEveryOther() throws {
    try makeSources()
    for (source, options) in Self.sources {
      for (target, named, format) in [
        ("new.raw", nil, "raw"), ("new.img", nil, "raw"), ("new.qcow2", nil, "qcow2"), ("NEW.QCOW", nil, "qcow2"), ("new", "raw", "raw"),
        ("new", "qcow2", "qcow2"), ("new.qcow2", "raw", "raw"),
      ] {
        let ending = try Crosvm.run(
          ["disk", "convert"] + options + (named.map { ["--format", $0] } ?? []) + [source, target], in: workplace)
        #expect(ending.status == 0 && ending.output.isEmpty && ending.errors.isEmpty, "\(source) \(target): \(ending)")
        #expect(try Tool.haveSameDisk("raw", "raw", target, format, in: workplace), "\(source) \(target)")
        if format == "qcow2" { #expect(try Tool.isClean(target, in: workplace)) }
        unsafe #expect(unlink(workplace.path + "/" + target) == 0)
      }
    }
  }

  @Test func whatIsThereIsNotTouched() throws {
    try makeRaw("raw")
    workplace.write("there.qcow2", [1, 2, 3])
    unsafe #expect(symlink("nowhere", workplace.path + "/link.raw") == 0)
    for name in ["there.qcow2", "link.raw", "raw"] {
      try Mistake("disk", "convert", "raw", name, "--format", "raw", says: "\"\(name)\" exists already", "another name").expect(
        status: 1, in: workplace)
    }
    #expect(workplace.read("there.qcow2") == [1, 2, 3] && !workplace.names.contains("nowhere"))
  }

  @Test func whatCannotBeReadOrNamedIsSaid() throws {
    try makeRaw("raw")
    try Tool.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "raw", "-F", "raw", "overlay.qcow2", in: workplace)
    workplace.write("empty", [])
    unsafe #expect(mkdir(workplace.path + "/directory", 0o755) == 0)
    for mistake in [
      Mistake("disk", "convert", "missing", "a.raw", says: "\"missing\" does not exist"),
      Mistake("disk", "convert", "directory", "a.raw", says: "\"directory\" is a directory"),
      Mistake("disk", "convert", "empty", "a.raw", says: "\"empty\" is empty"),
      Mistake("disk", "convert", "raw", "no/a.raw", says: "\"no/a.raw\" cannot be made", "No such file"),
      Mistake("disk", "convert", "raw", "raw/a.raw", says: "\"raw/a.raw\" cannot be made", "Not a directory"),
      Mistake(
        "disk", "convert", "overlay.qcow2", "a.raw", says: "backing file \"raw\"",
        "not opened unless you say so; give --source-format qcow2 --backing"),
      Mistake("disk", "convert", "--source-format", "qcow2", "raw", "a.raw", says: "it is not a qcow2 image"),
    ] {
      try mistake.expect(status: 1, in: workplace)
    }
    for mistake in [
      Mistake("disk", "convert", "raw", "a", says: "the name \"a\" does not tell a format; give --format raw or qcow2"),
      Mistake("disk", "convert", "raw", "a.vmdk", says: "\"a.vmdk\" does not tell a format"),
      Mistake("disk", "convert", "raw", "a.raw", "--format", "vmdk", says: "\"vmdk\" is not possible; give raw or qcow2"),
      Mistake("disk", "convert", "--backing", "overlay.qcow2", "a.raw", says: "give --source-format qcow2 with --backing"),
      Mistake("disk", "convert", "--backing", "--source-format", "raw", "raw", "a.raw", says: "--source-format qcow2 with --backing"),
      Mistake("disk", "convert", "--source-format", "vhd", "raw", "a.raw", says: "crosvm disk convert: --source-format", "\"vhd\""),
      Mistake("disk", "convert", "raw", says: "TARGET"), Mistake("disk", "convert", "raw", "a.raw", "b", says: "one argument too many"),
    ] {
      try mistake.expect(status: 2, in: workplace)
    }
  }

  /// A full file system: what one file may hold is less than the copy needs.
  @Test(arguments: ["a.raw", "a.qcow2"]) func aFullDiskLeavesNothing(target: String) throws {
    try makeRaw("raw")
    try Tool.run("qemu-io", "-f", "raw", "-c", "write -P 7 0 3M", "raw", in: workplace)
    try Mistake("disk", "convert", "raw", target, says: "File too large").expect(
      status: 1, in: workplace, launcher: ["prlimit", "--fsize=1048576"])
  }

  /// A disk of 4 GiB, each of whose clusters is the same one of the file: small, and a lot to copy.
  private func makeLongSource(_ name: String) throws {
    #expect(try Crosvm.run(["create_qcow2", name, "4G"], in: workplace).status == 0)
    let l1 = workplace.read(name)[40..<48].reduce(0) { $0 << 8 | Int($1) }
    let file = unsafe open(workplace.path + "/" + name, O_RDWR | O_CLOEXEC)
    defer { close(file) }
    func put(_ words: [UInt64], at offset: Int) {
      var bytes = words.map(\.bigEndian)
      #expect(unsafe pwrite(file, &bytes, bytes.count * 8, offset) == bytes.count * 8)
    }
    put([UInt64](repeating: 1 << 20, count: 8), at: l1)
    put([UInt64](repeating: 2 << 20, count: 8192), at: 1 << 20)
    put([UInt64](repeating: 0x0101_0101_0101_0101, count: 8192), at: 2 << 20)
  }

  @Test(arguments: ["a.raw", "a.qcow2"]) func aKeyInTheMiddleLeavesNothing(target: String) throws {
    try makeLongSource("long.qcow2")
    let terminal = try PseudoTerminal()
    let process = try Crosvm(["disk", "convert", "long.qcow2", target], in: workplace, terminal: terminal.path)
    #expect(terminal.read(until: "\r1 %").contains("\r0 %"))
    // Ctrl-C; whoever reads the terminal is a session of its own, and this one is its foreground.
    terminal.write([3])
    let ending = process.end()
    #expect(ending.status == 128 + SIGINT && !ending.leavesProcesses, "\(ending)")
    #expect(workplace.names == ["long.qcow2"])
  }

  @Test func progressIsShownOnATerminalOnly() throws {
    try makeRaw("raw")
    let terminal = try PseudoTerminal()
    let process = try Crosvm(["disk", "convert", "raw", "a.qcow2"], in: workplace, terminal: terminal.path)
    #expect(process.end().status == 0)
    let shown = terminal.readRest()
    // The line goes when it is done.
    #expect(shown.contains("\r100 %") && shown.hasSuffix("\r\u{1b}[K"), "\(shown.debugDescription)")
    let quiet = try convert("raw", "b.qcow2")
    #expect(quiet.status == 0 && quiet.output.isEmpty && quiet.errors.isEmpty)
    // What fails is said on a line of its own.
    let failing = try Crosvm(["disk", "convert", "raw", "a.qcow2"], in: workplace, terminal: terminal.path)
    #expect(failing.end().status == 1)
    let said = terminal.readRest()
    #expect(said.contains("exists already") && !said.contains("%"), "\(said.debugDescription)")
  }
}
