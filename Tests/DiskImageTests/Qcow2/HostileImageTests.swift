import DiskImage
import DiskImageTesting
import Testing

/// Images that were made to do harm: each ends in an error that says what is wrong, and costs next to nothing.
@Suite struct HostileImageTests {
  /// A sound image in small clusters, to be spoiled: header, refcount table, refcount block, L1 table, then an L2 table and data.
  private static func sound(version: UInt32 = 3, clusterBits: Int = 9) throws -> [UInt8] {
    let file = FaultyFile()
    var format = Qcow2Image.Format()
    format.clusterBits = clusterBits
    format.version = version
    try Qcow2Image.create(file: file, path: "hostile", size: 64 << 10, format: format)
    let used = FaultyFile(file.content)
    let image = try Qcow2Image(file: used, path: "hostile")
    try image.store([UInt8](repeating: 7, count: 2048), at: 0)
    image.finish()
    return Array(used.content.prefix(16 << 10))
  }

  private static func spoiled(_ bytes: [UInt8], _ offset: Int, _ value: UInt64, width: Int) -> [UInt8] {
    var bytes = bytes
    for index in 0..<width { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * (width - 1 - index))) }
    return bytes
  }

  private func problem(_ bytes: [UInt8], readOnly: Bool = false) -> Qcow2Problem? {
    var options = Qcow2Image.Options()
    options.isReadOnly = readOnly
    do {
      _ = try Qcow2Image(file: FaultyFile(bytes), path: "hostile", options: options)
      return nil
    } catch {
      guard case .qcow2("hostile", let problem) = error else { return nil }
      return problem
    }
  }

  struct Field: Sendable, CustomTestStringConvertible {
    let name: String
    let offset: Int
    let width: Int
    let value: UInt64
    let says: String
    var testDescription: String { "\(name) \(value)" }
    init(_ name: String, _ offset: Int, _ width: Int, _ value: UInt64, _ says: String) {
      (self.name, self.offset, self.width, self.value, self.says) = (name, offset, width, value, says)
    }
  }

  static let fields: [Field] =
    [0, 1, 4, UInt64(UInt32.max)].map { Field("version", 4, 4, $0, "version") }
    + [0, 8, 22, 63, UInt64(UInt32.max)].map { Field("cluster bits", 20, 4, $0, "cluster size") }
    + [1, 2, 3].map { Field("encryption", 32, 4, $0, "encrypted") }
    + [0, 511, 1 << 61, .max, .max - 511].map { Field("size", 24, 8, $0, "bytes") }
    + [0, 1, 0x400_0001, UInt64(UInt32.max)].map { Field("L1 entries", 36, 4, $0, "L1 table") }
    + [0, 3, 1 << 40, .max & ~511].map { Field("L1 offset", 40, 8, $0, "L1 table") }
    + [0, 7, 1 << 40, .max & ~511].map { Field("refcount table offset", 48, 8, $0, "refcount table") }
    + [0, 16385, UInt64(UInt32.max)].map { Field("refcount table clusters", 56, 4, $0, "refcount table") }
    + [65537, UInt64(UInt32.max)].map { Field("snapshots", 60, 4, $0, "snapshot table") }
    + [7, 64].map { Field("refcount order", 96, 4, $0, "refcounts") }
    + [0, 103, 105, 1 << 20].map { Field("header length", 100, 4, $0, "header") }
    + [4].map { Field("external data", 72, 8, $0, "external data file") }
    + [32, 1 << 63].map { Field("unknown features", 72, 8, $0, "features that are not supported: bit") }
    + [8].map { Field("zstd without its name", 72, 8, $0, "compression") }
    + [16].map { Field("subclusters in small clusters", 72, 8, $0, "subclusters") }

  @Test(arguments: fields) func aFieldThatCannotBeIsNamed(_ field: Field) throws {
    let bytes = HostileImageTests.spoiled(try HostileImageTests.sound(), field.offset, field.value, width: field.width)
    for readOnly in [true, false] {
      let problem = try #require(self.problem(bytes, readOnly: readOnly))
      #expect(field.says.isEmpty || "\(problem)".contains(field.says), "\(problem)")
    }
  }

  @Test func tablesInOnePlaceAreRefused() throws {
    let sound = try HostileImageTests.sound()
    // The L1 table in the place of the refcount table.
    guard case .overlap = problem(HostileImageTests.spoiled(sound, 40, 512, width: 8)) else {
      Issue.record("an L1 table in the refcount table was accepted")
      return
    }
  }

  @Test(arguments: 0..<104) func aFileThatEndsInItsHeaderIsRefused(_ count: Int) throws {
    #expect(problem(Array(try HostileImageTests.sound().prefix(count))) != nil)
  }

  @Test func aCorruptImageIsOnlyRead() throws {
    let bytes = HostileImageTests.spoiled(try HostileImageTests.sound(), 72, 2, width: 8)
    #expect(problem(bytes) == .markedCorrupt)
    #expect(problem(bytes, readOnly: true) == nil)
  }

  @Test func aBackingNameOutsideTheHeaderIsRefused() throws {
    let sound = try HostileImageTests.sound()
    for (offset, count) in [(8, 10), (504, 16), (512, 1), (1 << 40, 4), (200, 1024), (200, UInt64(UInt32.max))] as [(UInt64, UInt64)] {
      var bytes = HostileImageTests.spoiled(sound, 8, offset, width: 8)
      bytes = HostileImageTests.spoiled(bytes, 16, count, width: 4)
      #expect(problem(bytes) == .backingName, "\(offset) \(count)")
    }
  }

  @Test func anImageWithABackingNameAloneIsRefused() throws {
    var format = Qcow2Image.Format()
    format.backing = ("/etc/passwd", "raw")
    let file = FaultyFile()
    try Qcow2Image.create(file: file, path: "hostile", size: 1 << 20, format: format)
    #expect(throws: DiskError.backing("hostile", .absent("/etc/passwd"))) {
      _ = try Qcow2Image(file: FaultyFile(file.content), path: "hostile")
    }
  }

  // MARK: Entries

  private struct Layout {
    let l1: Int
    let l2: Int
    let bytes: [UInt8]

    init() throws {
      let sound = try HostileImageTests.sound()
      func word(_ offset: Int) -> Int {
        Int(sound[offset..<offset + 8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) } & 0x00ff_ffff_ffff_fe00)
      }
      let tables = (first: word(40), second: word(word(40)))
      l1 = tables.first
      l2 = tables.second
      bytes = sound
    }

    /// Opens it with another entry; what is done must fail, and no byte of the tables may change.
    func expectRefusal(at offset: Int, _ entry: UInt64, _ body: (Qcow2Image) throws -> Void) throws {
      let file = FaultyFile(HostileImageTests.spoiled(bytes, offset, entry, width: 8))
      let image = try Qcow2Image(file: file, path: "hostile")
      let before = file.content
      #expect(throws: (any Error).self) { try body(image) }
      #expect(image.damage != nil)
      // But for the mark of use.
      #expect(file.content[104..<l2].elementsEqual(before[104..<l2]))
      // From then on nothing is written.
      #expect(throws: (any Error).self) { try image.store([UInt8](repeating: 1, count: 512), at: 32 << 10) }
    }
  }

  private static let copied: UInt64 = 1 << 63

  @Test func aWriteNeverLandsInMetadata() throws {
    let layout = try Layout()
    for target in [0, 512, 1024, layout.l1, layout.l2] {
      try layout.expectRefusal(at: layout.l2, UInt64(target) | HostileImageTests.copied | (target == 0 ? 1 << 40 : 0)) { image in
        try image.store([UInt8](repeating: 9, count: 512), at: 0)
        _ = image.flush()
      }
    }
  }

  @Test func anL2TableInOtherMetadataIsRefused() throws {
    let layout = try Layout()
    for target in [512, 1024, layout.l1, 512 + 8, 1 << 50] {
      try layout.expectRefusal(at: layout.l1, UInt64(target) | HostileImageTests.copied) {
        try $0.store([UInt8](repeating: 9, count: 512), at: 0)
      }
      try layout.expectRefusal(at: layout.l1, UInt64(target) | HostileImageTests.copied) { _ = try $0.bytes(0, 512) }
    }
  }

  @Test func entriesThatCannotBeAreRefused() throws {
    let file = FaultyFile()
    var format = Qcow2Image.Format()
    format.clusterBits = 12
    try Qcow2Image.create(file: file, path: "hostile", size: 64 << 10, format: format)
    let image = try Qcow2Image(file: FaultyFile(file.content), path: "hostile")
    try image.store([UInt8](repeating: 1, count: 512), at: 0)
    #expect(image.flush() == 0)
    let layout = try Layout()
    // Beyond the end of the file: it reads as zeroes, but is not written.
    try layout.expectRefusal(at: layout.l2, 1 << 40 | HostileImageTests.copied) { try $0.store([UInt8](repeating: 9, count: 512), at: 0) }
    // Compressed, without anything that could be decompressed.
    let spoiled = HostileImageTests.spoiled(layout.bytes, layout.l2, 1 << 62 | 1 << 50, width: 8)
    let compressed = try Qcow2Image(file: FaultyFile(spoiled), path: "hostile")
    #expect(throws: (any Error).self) { _ = try compressed.bytes(0, 512) }
    #expect(try compressed.bytes(512, 512) == [UInt8](repeating: 7, count: 512))
  }

  @Test func aRefcountThatIsTooLowDoesNotGiveAwayWhatIsUsed() throws {
    let layout = try Layout()
    // All refcounts zero, so that each table seems to be free.
    var bytes = layout.bytes
    for index in 1024..<1536 { bytes[index] = 0 }
    let file = FaultyFile(bytes)
    let image = try Qcow2Image(file: file, path: "hostile")
    for offset in stride(from: 8 << 10, to: 64 << 10, by: 512) { try? image.store([UInt8](repeating: 5, count: 512), at: offset) }
    _ = image.flush()
    let after = file.content
    #expect(after[0..<72].elementsEqual(bytes[0..<72]) && after[512..<1024].elementsEqual(bytes[512..<1024]))
    #expect(!after[layout.l1..<layout.l2].contains(5) && !after[layout.l2..<layout.l2 + 8].contains(5))
  }

  @Test func whatCannotBeRepairedIsNotWritten() throws {
    let layout = try Layout()
    var bytes = HostileImageTests.spoiled(layout.bytes, layout.l2 + 16, 1 << 50, width: 8)
    bytes = HostileImageTests.spoiled(bytes, 72, 1, width: 8)
    #expect(problem(bytes) == .damaged(1))
    #expect(problem(bytes, readOnly: true) == nil)
  }

  /// A reader of the fuzzer's seeds: they are images, and more is done with them than to refuse them.
  @Test func theFuzzerBeginsWithImages() {
    for seed in qcow2Seeds() {
      #expect(seed.starts(with: [0x51, 0x46, 0x49, 0xfb]))
      fuzzQcow2(seed)
    }
  }

  @Test func spoiledBytesNeverTrap() throws {
    var dice = Dice(4711)
    let seeds = qcow2Seeds()
    for _ in 0..<150 {
      var bytes = seeds[dice.below(seeds.count)]
      for _ in 0..<1 + dice.below(6) { bytes[dice.below(dice.below(2) == 0 ? 112 : bytes.count)] = UInt8(dice.below(256)) }
      fuzzQcow2(bytes)
    }
  }
}
