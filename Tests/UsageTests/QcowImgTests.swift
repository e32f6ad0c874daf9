import Glibc
import Testing

/// The original's `qcow_img`, beside qemu-img.
@Suite(.enabled(if: Tool.hasImages, "needs qemu-utils and android-sdk-libsparse-utils"))
struct QcowImgTests {
  let workplace = Workplace()

  init() throws {
    try Tool.run("qemu-img", "create", "-q", "-f", "qcow2", "-o", "refcount_bits=16", "a", "1G", in: workplace)
    try Tool.run("qemu-io", "-f", "qcow2", "-c", "write -P 5 0 128k", "-c", "write -P 6 600M 64k", "a", in: workplace)
  }

  private func qcowImg(_ words: String...) throws -> Ending {
    try Crosvm(words, in: workplace, program: Crosvm.sibling("qcow_img")).end()
  }

  /// Lines of a name or number and a value.
  private func values(_ words: String...) throws -> [String: UInt64] {
    let ending = try Crosvm(words, in: workplace, program: Crosvm.sibling("qcow_img")).end()
    #expect(ending.status == 0 && ending.errors.isEmpty, "\(ending)")
    var values: [String: UInt64] = [:]
    for line in ending.output.split(separator: "\n") {
      let parts = line.split(separator: ":")
      let value: UInt64 = try #require(UInt64(parts[1].dropFirst(3), radix: 16), "\(line)")
      values[String(parts[0])] = value
    }
    return values
  }

  @Test func theHeaderIsShown() throws {
    let header = try values("header", "a")
    for (name, value) in [
      ("version", 3), ("cluster_bits", 16), ("size", 1 << 30), ("l1_size", 2), ("refcount_order", 4), ("nb_snapshots", 0),
      ("incompatible_features", 0), ("header_length", 112), ("refcount_table_clusters", 1),
    ] as [(String, UInt64)] { #expect(header[name] == value, "\(name)") }
    let bytes = workplace.read("a")
    #expect(header["l1_table_offset"] == bytes[40..<48].reduce(0) { $0 << 8 | UInt64($1) })
    #expect(header["refcount_table_offset"] == bytes[48..<56].reduce(0) { $0 << 8 | UInt64($1) })
  }

  /// Every cluster that the tables name is where QEMU finds the same data in the file.
  @Test func theTablesAreThoseThatQEMUFollows() throws {
    let l1 = try values("l1_table", "a")
    #expect(Set(l1.keys) == ["0", "1"])
    let first = try values("l2_table", "a", "0")
    let second = try values("l2_table", "a", "1")
    #expect(Set(first.keys) == ["0", "1"] && second.count == 1)
    let mask: UInt64 = 0x00ff_ffff_ffff_fe00
    let map = try Tool.run("qemu-img", "map", "-f", "qcow2", "a", in: workplace)
    // Its lines: offset, length and place in the file, in hexadecimal.
    let places: [[UInt64]] = map.split(separator: "\n").dropFirst().map {
      $0.split(separator: " ").prefix(3).compactMap { UInt64($0.hasPrefix("0x") ? $0.dropFirst(2) : $0, radix: 16) }
    }
    #expect(places.contains([0, 0x20000, try #require(first["0"]) & mask]), "\(map)")
    // Of the 8192 entries of a table, the number for 600 MiB.
    #expect(places.contains([600 << 20, 0x10000, try #require(second["\((600 << 20) / 65536 - 8192)"]) & mask]), "\(map)")
    let blocks = try values("ref_table", "a")
    #expect(Set(blocks.keys) == ["0"])
    let counts = try values("ref_block", "a", "0")
    // Header, refcount table and block, the L1 and two L2 tables, three clusters.
    #expect(counts.count == 9 && counts.values.allSatisfy { $0 == 1 }, "\(counts)")
    let used = (Array(l1.values) + Array(first.values) + Array(second.values)).map { ($0 & mask) >> 16 }
    for cluster in used { #expect(counts["\(cluster)"] == 1) }
    let nothing = try qcowImg("ref_block", "a", "1")
    #expect(nothing.status == 0 && nothing.output.isEmpty)
  }

  @Test func bytesAreWrittenToTheStart() throws {
    workplace.write("bytes", [UInt8](repeating: 9, count: 1000))
    #expect(try qcowImg("dd", "a", "bytes").status == 0)
    #expect(try Tool.isClean("a", in: workplace))
    // The last sector is filled up.
    try Tool.run(
      "qemu-io", "-f", "qcow2", "-c", "read -P 9 0 1000", "-c", "read -P 0 1000 24", "-c", "read -P 5 1024 1024", "a", in: workplace)
    // A pipe gives less at a time than a sector.
    workplace.write("pipe", Array("(head -c 700 bytes; sleep 0.2; head -c 800 bytes) | \(Crosvm.sibling("qcow_img")) dd a /dev/stdin".utf8))
    try Tool.run("sh", "pipe", in: workplace)
    try Tool.run("qemu-io", "-f", "qcow2", "-c", "read -P 9 0 1500", "-c", "read -P 0 1500 36", "a", in: workplace)
    try Tool.run("qemu-img", "create", "-q", "-f", "qcow2", "small", "64k", in: workplace)
    workplace.writeZeros("more", count: 65536 + 512)
    let ending = try qcowImg("dd", "small", "more")
    #expect(ending.status == 1 && ending.errors.hasPrefix("qcow_img: "), "\(ending)")
    #expect(try Tool.isClean("small", in: workplace))
  }

  @Test func imagesAreConverted() throws {
    #expect(try qcowImg("convert", "a", "raw").status == 0)
    #expect(try Tool.haveSameDisk("a", "qcow2", "raw", "raw", in: workplace))
    #expect(try qcowImg("convert", "raw", "again").status == 0)
    #expect(try Tool.haveSameDisk("raw", "raw", "again", "qcow2", in: workplace) && Tool.isClean("again", in: workplace))
    let ending = try qcowImg("convert", "a", "raw")
    #expect(ending.status == 1 && ending.errors.contains("exists already"))
  }

  @Test func mistakesAreNamed() throws {
    workplace.writeZeros("raw", count: 65536)
    for words in [
      [], ["header"], ["header", "a", "b"], ["l2_table", "a"], ["l2_table", "a", "x"], ["l2_table", "a", "-1"], ["explode", "a"],
      ["dd", "a"],
    ] {
      let ending = try Crosvm(words, in: workplace, program: Crosvm.sibling("qcow_img")).end()
      #expect(ending.status == 2 && ending.output.isEmpty && ending.errors.hasPrefix("usage: qcow_img header FILE"), "\(words): \(ending)")
    }
    for (words, part) in [
      (["header", "missing"], "does not exist"), (["header", "raw"], "not a qcow2 image"), (["l2_table", "a", "2"], "has 2 entries"),
      (["ref_block", "a", "9223372036854775807"], "entries"), (["dd", "a", "missing"], "missing"),
      (["dd", "raw", "a"], "not a qcow2 image"),
      (["convert", "missing", "b"], "does not exist"),
    ] {
      let ending = try Crosvm(words, in: workplace, program: Crosvm.sibling("qcow_img")).end()
      #expect(ending.status == 1 && ending.output.isEmpty && ending.errors.contains(part), "\(words): \(ending)")
      #expect(ending.errors.hasPrefix("qcow_img: ") && ending.errors.count { $0 == "\n" } == 1, "\(words): \(ending)")
    }
    let help = try qcowImg("--help")
    #expect(help.status == 0 && help.output.contains("usage: qcow_img"))
  }
}
