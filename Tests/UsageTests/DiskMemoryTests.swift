import Glibc
import Testing

/// What the tables of a large disk take of memory, measured at a process.
struct DiskMemoryTests {
  let workplace = Workplace()

  /// A qcow2 image of 1 TiB each of whose L2 tables is there: 2048 of them, 128 MiB. They are holes of the file.
  private func makeLargeImage(_ name: String) throws {
    #expect(try Crosvm.run(["create_qcow2", name, "1T"], in: workplace).status == 0)
    try fillTables(name)
  }

  private func growth(_ words: String...) throws -> Int {
    let bench = try Crosvm(["memory"] + words, in: workplace, program: Crosvm.sibling("image-bench"))
    let ending = bench.end()
    #expect(ending.status == 0 && ending.errors.isEmpty, "\(ending)")
    return try #require(Int(ending.output.dropLast()), "\(ending.output)")
  }

  @Test func aLargeDiskStaysWithinItsBound() throws {
    try makeLargeImage("disk")
    // Nearly all of the tables' 32768 pieces, in random order.
    #expect(try growth("disk", "60000") <= 8 << 20)
    #expect(try growth("disk", "60000", "\(1 << 20)") <= 2 << 20)
    // What is allowed is used: so it is memory for tables that was measured.
    let large = try growth("disk", "60000", "\(64 << 20)")
    #expect(large > 56 << 20 && large <= 65 << 20, "\(large)")
  }

  /// All of the chain have the same memory together; a file of 1 TiB at each place of it.
  @Test func aLongChainTakesNoMore() throws {
    try makeLargeImage("d0")
    for level in 1...10 {
      let words = ["create_qcow2", "d\(level)", "--backing-file", "d\(level - 1)"]
      #expect(try Crosvm.run(words, in: workplace).status == 0)
    }
    for level in 1...10 { try fillTables("d\(level)") }
    #expect(try growth("d10", "20000") <= 9 << 20)
    #expect(try growth("d10", "20000", "\(1 << 20)") <= 3 << 20)
  }

  /// Gives an image all its tables.
  private func fillTables(_ name: String) throws {
    // The header's field "l1_table_offset".
    let l1 = workplace.read(name)[40..<48].reduce(0) { $0 << 8 | Int($1) }
    let file = unsafe open(workplace.path + "/" + name, O_RDWR | O_CLOEXEC)
    defer { close(file) }
    var entries: [UInt64] = []
    for table in 0..<2048 { entries.append((1 << 63 | UInt64(1 << 20 + table << 16)).bigEndian) }
    #expect(unsafe pwrite(file, &entries, entries.count * 8, l1) == entries.count * 8)
    #expect(ftruncate(file, 1 << 20 + 2048 << 16) == 0)
  }
}
