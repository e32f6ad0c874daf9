import Glibc
import Testing

/// `crosvm disk check`, `repair`, `map` and `resize` with images that nobody uses, beside what qemu-img says.
@Suite(.enabled(if: Tool.hasImages, "needs qemu-utils and android-sdk-libsparse-utils"))
struct DiskRepairTests {
  let workplace = Workplace()

  private func crosvm(_ words: String...) throws -> Ending { try Crosvm.run(words, in: workplace) }

  // MARK: check and repair

  /// An image with data, whose refcount of the cluster with the L1 table is as it is told.
  private func makeSpoiled(_ name: String, refcounts: [UInt8], from cluster: Int) throws {
    try Tool.run("qemu-img", "create", "-q", "-f", "qcow2", name, "10M", in: workplace)
    try Tool.run("qemu-io", "-f", "qcow2", "-c", "write -P 5 0 256k", name, in: workplace)
    // The first refcount block, behind the header and the refcount table; two bytes each.
    let file = unsafe open(workplace.path + "/" + name, O_RDWR | O_CLOEXEC)
    defer { close(file) }
    #expect(unsafe pwrite(file, refcounts, refcounts.count, 2 * 65536 + 2 * cluster) == refcounts.count)
    // Nine clusters are in use; the file has one more.
    #expect(ftruncate(file, 10 * 65536) == 0)
  }

  @Test func aSoundImageIsClean() throws {
    try makeSpoiled("a", refcounts: [], from: 0)
    let ending = try crosvm("disk", "check", "--json", "a")
    #expect(ending.status == 0 && ending.errors.isEmpty)
    let theirs = try JSON.object(try Tool.run("qemu-img", "check", "--output=json", "a", in: workplace))
    // QEMU leaves out what is zero.
    JSON.expectSame(try JSON.object(ending.output).filter { "\($0.value)" != "0" }, as: theirs)
    #expect(try crosvm("disk", "check", "a").output == "nothing is wrong\n4 of 160 clusters are allocated, 0 of them compressed\n")
  }

  @Test func whatIsWrongIsCountedAndRepaired() throws {
    // A cluster in use that has no refcount, and one that nothing refers to, beyond.
    for (name, refcounts, cluster, leaks, isCorrupt) in [
      ("leak", [0, 1] as [UInt8], 9, 1, false), ("low", [0, 0], 5, 0, true), ("both", [0, 2, 0, 0], 5, 1, true),
    ] {
      try makeSpoiled(name, refcounts: refcounts, from: cluster)
      let before = try crosvm("disk", "check", "--json", name)
      #expect(before.status == 1 && before.errors.isEmpty, "\(before)")
      let ours = try JSON.object(before.output)
      let process = try Crosvm(["check", "--output=json", "-f", "qcow2", name], in: workplace, program: "qemu-img")
      let theirs = process.end()
      #expect(theirs.status == 2 || theirs.status == 3)
      let said = try JSON.object(theirs.output)
      #expect((ours["leaks"] as? Int ?? 0) == leaks && (said["leaks"] as? Int ?? 0) == leaks, "\(ours) \(said)")
      #expect((ours["corruptions"] as? Int ?? 0 > 0) == isCorrupt && (said["corruptions"] as? Int ?? 0 > 0) == isCorrupt, "\(ours) \(said)")
      let errors = ours["corruptions"] as? Int ?? 0
      let text = try crosvm("disk", "check", name).output
      #expect(
        text.contains("1 lost cluster, which only takes space\n") == (leaks > 0)
          && text.contains("\(errors) error\(errors == 1 ? "" : "s")\n") == isCorrupt, "\(text)")
      let repair = try crosvm("disk", "repair", name)
      #expect(repair.status == 0 && repair.output.contains("nothing is wrong\n"), "\(repair)")
      #expect(repair.output.contains("1 lost cluster was given back\n") == (leaks > 0), "\(repair)")
      // Repairing one may show another, so the number is not that of before.
      let repaired = repair.output.split(separator: "\n").filter {
        $0.hasSuffix("1 error was repaired") || $0.hasSuffix(" errors were repaired")
      }
      #expect(repaired.count == (isCorrupt ? 1 : 0), "\(repair)")
      #expect(try Tool.isClean(name, in: workplace))
      #expect(try crosvm("disk", "check", name).status == 0)
      let again = try JSON.object(try crosvm("disk", "repair", "--json", name).output)
      #expect(again["leaks-fixed"] == nil && again["corruptions-fixed"] == nil)
    }
  }

  @Test func anImageInUseIsNotTouched() throws {
    try makeSpoiled("a", refcounts: [0, 1], from: 9)
    let file = unsafe open(workplace.path + "/a", O_RDWR | O_CLOEXEC)
    defer { close(file) }
    var lock = flock()
    lock.l_type = Int16(F_WRLCK)
    // Of the open file, not of this process: F_OFD_SETLK of fcntl(2).
    #expect(unsafe fcntl(file, 37, &lock) == 0)
    for words in [["check", "a"], ["repair", "a"], ["info", "a"], ["map", "a"], ["resize", "a", "20M"], ["convert", "a", "b.raw"]] {
      try Mistake(words: ["disk"] + words, parts: ["\"a\"", "by another process or disk"]).expect(status: 1, in: workplace)
    }
  }

  // MARK: map

  /// Ranges as QEMU has them, neighbours of a kind as one.
  private func ranges(_ text: String) throws -> [String] {
    let list = try JSON.list(text)
    var merged: [(start: Int, end: Int, zero: Bool)] = []
    for range in list {
      let (start, length) = (try #require(range["start"] as? Int), try #require(range["length"] as? Int))
      let zero = try #require(range["zero"] as? Bool)
      #expect(range["data"] as? Bool == !zero)
      if let last = merged.last, last.zero == zero, last.end == start {
        merged[merged.count - 1].end = start + length
      } else {
        merged.append((start, start + length, zero))
      }
    }
    return merged.map { "\($0)" }
  }

  @Test func theRangesOfADiskAreThoseOfQEMU() throws {
    try Tool.run("qemu-img", "create", "-q", "-f", "raw", "raw", "10M", in: workplace)
    try Tool.run("qemu-io", "-f", "raw", "-c", "write -P 1 1M 1M", "-c", "write -P 2 5M 64k", "raw", in: workplace)
    try Tool.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "raw", "-F", "raw", "a", "12M", in: workplace)
    try Tool.run("qemu-io", "-f", "qcow2", "-c", "write -P 3 3M 128k", "-c", "write -z 1M 64k", "a", in: workplace)
    for (name, format, options) in [("raw", "raw", []), ("a", "qcow2", ["--source-format", "qcow2", "--backing"])] {
      let ours = try Crosvm.run(["disk", "map", "--json"] + options + [name], in: workplace)
      #expect(ours.status == 0 && ours.errors.isEmpty, "\(ours)")
      #expect(try ranges(ours.output) == ranges(try Tool.run("qemu-img", "map", "--output=json", "-f", format, name, in: workplace)))
    }
    #expect(
      try crosvm("disk", "map", "raw").output
        == "0 4096 data 0\n4096 1044480 zero -\n1048576 1048576 data 1048576\n2097152 3145728 zero -\n"
        + "5242880 65536 data 5242880\n5308416 5177344 zero -\n")
  }

  // MARK: resize

  @Test func imagesGrow() throws {
    workplace.writeZeros("raw", count: 1 << 20)
    try makeSpoiled("a", refcounts: [], from: 0)
    for (name, size, bytes) in [
      ("raw", "3M", 3 << 20), ("a", "20M", 20 << 20), ("a", "1T", 1 << 40), ("a", "1T", 1 << 40),
    ] {
      let ending = try crosvm("disk", "resize", name, size)
      #expect(ending.status == 0 && ending.output.isEmpty && ending.errors.isEmpty, "\(ending)")
      #expect(try JSON.object(try Tool.run("qemu-img", "info", "--output=json", name, in: workplace))["virtual-size"] as? Int == bytes)
    }
    #expect(try Tool.isClean("a", in: workplace))
    try Tool.run("qemu-io", "-f", "qcow2", "-c", "read -P 5 0 256k", "-c", "read -P 0 256k 1M", "a", in: workplace)
  }

  @Test func aRawImageIsMadeSmallerOnlyIfThatIsMeant() throws {
    workplace.write("raw", [UInt8](repeating: 7, count: 8192))
    try Mistake("disk", "resize", "raw", "4K", says: "\"raw\" has 8192 bytes", "4096", "give --shrink").expect(status: 1, in: workplace)
    #expect(workplace.read("raw").count == 8192)
    #expect(try crosvm("disk", "resize", "raw", "8K").status == 0)
    #expect(try crosvm("disk", "resize", "--shrink", "raw", "512").status == 0)
    #expect(workplace.read("raw").count == 512)
  }

  /// Its backing file is longer, and must not show in what is new.
  @Test func anImageWithABackingFileGrows() throws {
    workplace.write("base", [UInt8](repeating: 7, count: 64 << 10))
    try Tool.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base", "-F", "raw", "a", "32k", in: workplace)
    try Mistake("disk", "resize", "a", "128K", says: "give --source-format qcow2 --backing").expect(status: 1, in: workplace)
    #expect(try crosvm("disk", "resize", "--source-format", "qcow2", "--backing", "a", "128K").status == 0)
    try Tool.run("qemu-io", "-f", "qcow2", "-c", "read -P 7 0 32k", "-c", "read -P 0 32k 96k", "a", in: workplace)
    #expect(try Tool.isClean("a", in: workplace))
  }

  @Test func marksAreToldAndTakenAway() throws {
    try makeSpoiled("a", refcounts: [], from: 0)
    let file = unsafe open(workplace.path + "/a", O_RDWR | O_CLOEXEC)
    defer { close(file) }
    // Dirty and corrupt, in the least significant byte of the incompatible features.
    #expect(unsafe pwrite(file, [3] as [UInt8], 1, 79) == 1)
    #expect(try crosvm("disk", "info", "a").output.contains("it was not closed; crosvm disk check tells"))
    let check = try crosvm("disk", "check", "a")
    #expect(check.status == 1 && check.output.contains("it was not closed\nit is marked as corrupt; crosvm disk repair"), "\(check)")
    let repair = try crosvm("disk", "repair", "a")
    #expect(repair.status == 0, "\(repair)")
    #expect(repair.output.hasPrefix("it was not closed, and is now\nit was marked as corrupt, and is not any more\nnothing is wrong\n"))
    #expect(try crosvm("disk", "check", "a").output.hasPrefix("nothing is wrong\n"))
  }

  /// QEMU locks single bytes of a file; see its documentation of image locking.
  @Test func anImageThatQEMUWritesIsNotRead() throws {
    try makeSpoiled("a", refcounts: [], from: 0)
    let words = ["-f", "qcow2", "-c", "write -P 1 0 64k", "-c", "sleep 100000", "a"]
    let writer = try Crosvm(words, in: workplace, program: "qemu-io")
    let file = unsafe open(workplace.path + "/a", O_RDWR | O_CLOEXEC)
    defer { close(file) }
    let isWritten = Crosvm.wait {
      var lock = flock()
      lock.l_type = Int16(F_WRLCK)
      (lock.l_start, lock.l_len) = (101, 1)
      // F_OFD_GETLK: whether another has the byte that says so.
      return unsafe fcntl(file, 36, &lock) == 0 && lock.l_type != Int16(F_UNLCK)
    }
    #expect(isWritten)
    for words in [["info", "a"], ["check", "a"], ["map", "a"], ["convert", "a", "b.raw"]] {
      try Mistake(words: ["disk"] + words, parts: ["\"a\" is written by another process or disk; end that first\n"]).expect(
        status: 1, in: workplace)
    }
    try Mistake("disk", "resize", "a", "20M", says: "\"a\" is used by another process").expect(status: 1, in: workplace)
    writer.send(SIGKILL)
    _ = writer.end()
    #expect(try crosvm("disk", "convert", "a", "b.raw").status == 0)
  }

  @Test func aSizeThatAnImageCannotHaveIsSaid() throws {
    workplace.writeZeros("raw", count: 1 << 20)
    try makeSpoiled("a", refcounts: [], from: 0)
    try Tool.run("img2simg", "raw", "sparse", in: workplace)
    for mistake in [
      Mistake("disk", "resize", "a", "5M", says: "\"a\" cannot be resized: a qcow2 image only grows"),
      Mistake("disk", "resize", "a", "10485761", says: "not a multiple of 512"),
      Mistake("disk", "resize", "a", "8192T", says: "more than its clusters can map"),
      Mistake("disk", "resize", "raw", "1000", says: "give --shrink"),
      Mistake("disk", "resize", "--shrink", "raw", "1000", says: "multiple of 512"),
      Mistake("disk", "resize", "missing", "1M", says: "\"missing\" does not exist"),
      Mistake("disk", "resize", "sparse", "2M", says: "\"sparse\""),
    ] {
      try mistake.expect(status: 1, in: workplace)
    }
    for mistake in [
      Mistake("disk", "resize", "a", says: "SIZE"), Mistake("disk", "resize", "a", "big", says: "\"big\""),
      Mistake("disk", "resize", "a", "-1", says: "\"-1\""), Mistake("disk", "resize", "raw", "0", says: "\"0\" is out of range"),
      Mistake("disk", "resize", "--backing", "a", "20M", says: "give --source-format qcow2 with --backing"),
      Mistake("disk", "resize", "--source-format", "raw", "0", "20M", "vm.sock", says: "leave them out with a machine's socket"),
    ] {
      try mistake.expect(status: 2, in: workplace)
    }
    #expect(try Tool.isClean("a", in: workplace))
  }

  /// A full file system: what was there stays as it was.
  @Test func anImageThatCannotGrowStaysWhole() throws {
    try makeSpoiled("a", refcounts: [], from: 0)
    // The first-level table of 4096 TiB takes 64 MiB; that of 100 TiB more than the file may have.
    try Mistake("disk", "resize", "a", "100T", says: "\"a\" cannot be resized: File too large").expect(
      status: 1, in: workplace, launcher: ["prlimit", "--fsize=1048576"])
    #expect(try Tool.isClean("a", in: workplace))
    #expect(try JSON.object(try Tool.run("qemu-img", "info", "--output=json", "a", in: workplace))["virtual-size"] as? Int == 10 << 20)
  }
}
