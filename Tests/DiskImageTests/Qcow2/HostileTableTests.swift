import DiskImage
import DiskImageTesting
import Platform
import Testing

/// Tables that were made to trap, or to keep whoever reads them busy; and files of which an operation fails and the next ones do not.
@Suite struct HostileTableTests {
  /// An image and where its tables are.
  private struct Made {
    var bytes: [UInt8]

    init(clusterBits: Int, refcountOrder: Int = 4, size: UInt64, stored: Int = 2048) throws {
      var format = Qcow2Image.Format()
      format.clusterBits = clusterBits
      format.refcountOrder = refcountOrder
      let file = FaultyFile()
      try Qcow2Image.create(file: file, path: "hostile", size: size, format: format)
      let used = FaultyFile(file.content)
      let image = try Qcow2Image(file: used, path: "hostile")
      try image.store([UInt8](repeating: 7, count: stored), at: 0)
      image.finish()
      bytes = used.content
    }

    func word(_ offset: Int) -> UInt64 { bytes[offset..<offset + 8].reduce(0) { $0 << 8 | UInt64($1) } }
    var l1: Int { Int(word(40)) }
    var refcountTable: Int { Int(word(48)) }
    var l2: Int { Int(word(l1) & 0x00ff_ffff_ffff_fe00) }
    var refcountBlock: Int { Int(word(refcountTable)) }

    mutating func set(_ offset: Int, _ value: UInt64) {
      for index in 0..<8 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(56 - 8 * index)) }
    }

    mutating func markDirty() { set(72, 1) }
  }

  /// An entry of the refcount table so high that what is behind it has no number.
  @Test(arguments: [~511, ~4095, 1 << 63, 1 << 56] as [UInt64]) func aRefcountBlockAtTheEndOfAllNumbersIsRefused(block: UInt64) throws {
    // Blocks of two pieces: the second counts the clusters from 512 on.
    var made = try Made(clusterBits: 13, refcountOrder: 6, size: 16 << 20)
    made.set(made.l2, 600 << 13 | 1 << 63)
    made.set(made.refcountTable, block)
    made.bytes += [UInt8](repeating: 0, count: 8 << 20)
    let image = try Qcow2Image(file: FaultyFile(made.bytes), path: "hostile")
    // The cluster is given up; then its refcount is to be lowered.
    #expect(image.discard(offset: 0, count: 8192) == 0)
    #expect(image.flush() != 0 && image.damage != nil)
    // A new cluster, too, behind the 768 that the file has: its refcount is not written to where the sum of the numbers ends up.
    let file = FaultyFile(made.bytes)
    #expect(throws: (any Error).self) { try Qcow2Image(file: file, path: "hostile").store([UInt8](repeating: 1, count: 512), at: 1 << 20) }
    #expect(file.content[..<72].elementsEqual(made.bytes[..<72]))
    // A check counts what is wrong, and does not end there.
    for repair in [Qcow2Repair.nothing, .all] {
      #expect(try Qcow2Image.check(file: FaultyFile(made.bytes), path: "hostile", repair: repair).corruptions > 0)
    }
  }

  /// A first table all of whose entries are the same one: what they refer to is read once, for each thing that is checked.
  @Test func aTableThatIsNamedOftenIsReadSeldom() throws {
    var made = try Made(clusterBits: 9, size: 128 << 20)
    let entry = made.word(made.l1)
    // All 4096.
    for index in 0..<4096 { made.set(made.l1 + index * 8, entry & ~(1 << 63)) }
    for repair in [Qcow2Repair.nothing, .all] {
      let file = FlakyFile(made.bytes)
      _ = try Qcow2Image.check(file: file, path: "hostile", repair: repair)
      #expect(file.reads < 500, "\(file.reads) reads")
    }
  }

  /// Bitmaps are valid only while every writer keeps them up to date. Where they cannot be given up, nothing is written.
  @Test(arguments: [0, 64 << 10]) func featuresThatCannotBeGivenUpKeepTheirImage(offset: Int) throws {
    var made = try Made(clusterBits: 12, size: 1 << 20)
    made.set(88, 1)
    let file = FlakyFile(made.bytes)
    let image = try Qcow2Image(file: file, path: "flaky")
    for _ in 0..<3 {
      file.fail(writes: 1)
      #expect(throws: (any Error).self) { try image.store([UInt8](repeating: 9, count: 512), at: offset) }
      #expect(file.content == made.bytes)
    }
    try image.store([UInt8](repeating: 9, count: 512), at: offset)
    #expect(file.content[88..<96].allSatisfy { $0 == 0 })
  }

  /// Where refcounts cannot be lowered, space is lost; the image says so until it is repaired.
  @Test func whatCouldNotBeGivenBackIsFoundAtTheNextOpen() throws {
    // Refcounts of 8 bytes: a piece counts 64 clusters of 512 bytes, and the cache has eight pieces.
    let made = try Made(clusterBits: 9, refcountOrder: 6, size: 1 << 20, stored: 1 << 20)
    var options = Qcow2Image.Options()
    options.cacheSize = 0
    let file = FlakyFile(made.bytes)
    let image = try Qcow2Image(file: file, path: "flaky", options: options)
    #expect(image.discard(offset: 0, count: 16384) == 0)
    // The first read is that of a piece of refcounts; or it is none, and then the test shows nothing.
    file.fail(reads: 1)
    #expect(image.flush() != 0)
    image.finish()
    let left = file.content
    #expect(left[79] & 1 == 1, "the image says that it was closed well")
    let again = FaultyFile(left)
    try Qcow2Image(file: again, path: "flaky").finish()
    #expect(try Qcow2Image.check(file: FaultyFile(again.content), path: "flaky", repair: .nothing).isClean)
    #expect(again.content[79] & 1 == 0)
  }

  /// A write for which the file cannot grow enough, then one for which it can, in the same place.
  @Test(arguments: [0, 512, 40 << 10]) func aFailedWriteLeavesWhatFitsWritable(room: Int) throws {
    let made = try Made(clusterBits: 12, size: 64 << 20)
    let file = FaultyFile(made.bytes, limit: made.bytes.count + room)
    let image = try Qcow2Image(file: file, path: "full")
    #expect(throws: (any Error).self) { try image.store([UInt8](repeating: 1, count: 4 << 20), at: 8 << 20) }
    for turn in 0..<4 {
      for offset in stride(from: 1 << 20, to: 2 << 20, by: 4096) {
        guard (try? image.store([UInt8](repeating: UInt8(turn), count: 4096), at: offset)) != nil else { break }
        #expect(try image.bytes(offset, 4096).allSatisfy { $0 == turn })
      }
      #expect(image.damage == nil, "turn \(turn): \(image.damage ?? "")")
    }
    #expect(try image.bytes(0, 2048).allSatisfy { $0 == 7 })
    image.finish()
    #expect(try Qcow2Image.check(file: FaultyFile(file.content), path: "full", repair: .nothing).isClean)
  }

  /// The block that counts the block itself is made anew, and nothing else is taken for it.
  @Test(arguments: [9, 16]) func aMissingRefcountBlockIsRepairedWithoutALoss(clusterBits: Int) throws {
    var made = try Made(clusterBits: clusterBits, size: 1 << 20)
    made.set(made.refcountTable, 0)
    let file = FaultyFile(made.bytes)
    #expect(try Qcow2Image.check(file: file, path: "image", repair: .all).corruptionsFixed > 0)
    let report = try Qcow2Image.check(file: FaultyFile(file.content), path: "image", repair: .nothing)
    #expect(report.isClean, "\(report)")
  }

  /// A larger first table that finds no room, or cannot be written.
  @Test(arguments: [nil, 0, 1, 2, 3, 4] as [Int?]) func aDiskThatCannotGrowLosesNothing(writesBefore: Int?) throws {
    let made = try Made(clusterBits: 9, size: 1 << 20)
    let base = FaultyFile(made.bytes, limit: writesBefore == nil ? made.bytes.count + 4096 : 64 << 20)
    let file = FlakyFile(base)
    let image = try Qcow2Image(file: file, path: "full")
    try image.store([UInt8](repeating: 9, count: 512), at: 4096)
    if let writesBefore { file.fail(writes: 1, after: writesBefore) }
    #expect(throws: (any Error).self) { try image.resize(to: 1 << 30) }
    #expect(image.size == 1 << 20)
    image.finish()
    let again = FaultyFile(base.content)
    let reopened = try Qcow2Image(file: again, path: "full")
    #expect(reopened.size == 1 << 20)
    #expect(try reopened.bytes(4096, 512).allSatisfy { $0 == 9 } && reopened.bytes(0, 2048).allSatisfy { $0 == 7 })
    reopened.finish()
    #expect(try Qcow2Image.check(file: FaultyFile(again.content), path: "full", repair: .nothing).isClean)
  }

  /// Whoever of several asks first: the disk has the greatest of the sizes in the end, and no smaller one in between.
  @Test func severalWhoMakeADiskLargerDoNotMakeItSmaller() throws {
    for _ in 0..<20 {
      let image = try Qcow2Image(file: FaultyFile(try Made(clusterBits: 9, size: 1 << 20).bytes), path: "image")
      let threads = try (2...5).map { size in
        try PThread(name: "resize") { try? image.resize(to: UInt64(size) << 20) }
      }
      for thread in threads { thread.join() }
      #expect(image.size == 5 << 20)
      #expect(try image.bytes(5 << 20 - 512, 512).allSatisfy { $0 == 0 })
    }
  }

  /// Many clusters are emptied in parts, which meet.
  @Test(arguments: [false, true]) func aLongRangeIsEmptiedAsAWhole(isDiscard: Bool) throws {
    let made = try Made(clusterBits: 9, size: 12 << 20, stored: 12 << 20)
    let file = FaultyFile(made.bytes)
    let image = try Qcow2Image(file: file, path: "image")
    let (start, end) = (512 * 3 + (isDiscard ? 0 : 100), 11 << 20 + (isDiscard ? 0 : 300))
    let (offset, count) = (UInt64(start), UInt64(end - start))
    #expect(
      (isDiscard ? image.discard(offset: offset, count: count) : image.writeZeroes(offset: offset, count: count, mayDiscard: true)) == 0)
    let content = try image.bytes(0, 12 << 20)
    #expect(
      content[..<start].allSatisfy { $0 == 7 } && content[start..<end].allSatisfy { $0 == 0 } && content[end...].allSatisfy { $0 == 7 })
    image.finish()
    #expect(try Qcow2Image.check(file: FaultyFile(file.content), path: "image", repair: .nothing).isClean)
  }
}
