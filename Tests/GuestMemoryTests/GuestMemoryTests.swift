import Glibc
import GuestMemory
import Platform
import Testing

@Suite struct GuestMemoryTests {
  @Test func regionsLieOneBehindTheOtherInTheFile() throws {
    let memory = try makeMemory()
    #expect(memory.size == 0x6000)
    #expect(memory.file.size == 0x6000)
    #expect(memory.regions.map(\.base.rawValue) == [0x1000, 0x10000])
    #expect(memory.regions.map(\.end) == [0x5000, 0x12000])
    #expect(memory.regions.map(\.fileOffset) == [0, 0x4000])
  }

  @Test func whatIsWrittenIsInTheFileAtTheRegionsPlace() throws {
    let memory = try makeMemory()
    try memory.write([1, 2, 3, 4], at: GuestAddress(0x11000))
    var bytes = [UInt8](repeating: 0, count: 4)
    #expect(unsafe pread(memory.file.number, &bytes, 4, 0x5000) == 4)
    #expect(bytes == [1, 2, 3, 4])
  }

  @Test(
    arguments: [
      [], [(0, 0)], [(0x1000, 0x800)], [(0x800, 0x1000)], [(0, 0x1000), (0x1000, 0x1000)], [(0, 0x2000), (0x1000, 0x1000)],
      [(0x2000, 0x1000), (0, 0x1000)], [(0x1000, UInt64.max - 0xfff)], [(UInt64.max - 0xfff, 0x1000)],
      [(0, 1 << 63), (1 << 63 | 0x1000, 1 << 62)],
    ] as [[(UInt64, UInt64)]])
  func aLayoutThatCannotBeIsRefused(layout: [(UInt64, UInt64)]) {
    let error = #expect(throws: GuestMemoryError.self) {
      _ = try GuestMemory(regions: layout.map { (GuestAddress($0.0), $0.1) })
    }
    guard case .badLayout = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test func moreMemoryThanThereAreAddressesFailsInOrder() {
    #expect(throws: GuestMemoryError.self) { _ = try GuestMemory(regions: [(GuestAddress(0), 1 << 62)]) }
  }

  /// Where an access may begin and how long it may be: all, one too many, over the end, in the hole, wrapping.
  @Test(
    arguments: [
      (0x1000, 0x4000, true), (0x1000, 0x4001, false), (0xfff, 1, false), (0x4fff, 1, true), (0x4fff, 2, false), (0x5000, 1, false),
      (0x5000, 0, false), (0x4fff, 0, true), (0, 0, false), (0x8000, 0x1000, false), (0x1000, 0x11000, false), (0x11ff8, 8, true),
      (0x11ff9, 8, false), (0x12000, 1, false), (.max, 1, false), (.max, .max, false), (0x1000, .max, false), (0x1001, .max, false),
      (0x4fff, .max - 0x4ffe, false), (1 << 63, 1 << 63, false), (0x1000, 1 << 63, false),
    ] as [(UInt64, UInt64, Bool)])
  func anAccessIsInsideOneRegionOrRefused(address: UInt64, count: UInt64, isInside: Bool) throws {
    let memory = try makeMemory()
    let address = GuestAddress(address)
    if isInside {
      let slice = try memory.slice(address, count: count)
      #expect(slice.count == Int(count))
      #expect(slice.address == address)
    } else {
      #expect(throws: GuestMemoryError.outOfRange(address, count: count)) { _ = try memory.slice(address, count: count) }
    }
  }

  @Test(arguments: [-1, Int.min, Int.max]) func aCountThatNoRegionHasIsRefused(count: Int) throws {
    let memory = try makeMemory()
    #expect(throws: GuestMemoryError.self) { _ = try memory.read(count: count, at: GuestAddress(0x1000)) }
  }

  @Test func integersAreLittleEndianAndMayLieAnywhere() throws {
    let memory = try makeMemory()
    try memory.store(0x0102_0304_0506_0708 as UInt64, at: GuestAddress(0x1003))
    #expect(try memory.read(count: 8, at: GuestAddress(0x1003)) == [8, 7, 6, 5, 4, 3, 2, 1])
    #expect(try memory.load(GuestAddress(0x1004), as: UInt32.self) == 0x0405_0607)
    #expect(try memory.load(GuestAddress(0x100a), as: Int8.self) == 1)
    #expect(throws: GuestMemoryError.self) { try memory.store(0 as UInt32, at: GuestAddress(0x4ffd)) }
    #expect(throws: GuestMemoryError.self) { try memory.load(GuestAddress(0x4fff), as: UInt16.self) }
  }

  @Test func addressesThatWrapAreNone() {
    #expect(GuestAddress(.max).advanced(by: 1) == nil)
    #expect(GuestAddress(.max).advanced(by: 0) == GuestAddress(.max))
    #expect(GuestAddress(1).advanced(by: .max) == nil)
    #expect(GuestAddress(0x10).description == "0x10")
  }

  // MARK: Files

  /// A file with bytes 0, 1, ... 255 and again.
  private func makeFile(size: Int) throws -> MemoryFile {
    let file = try MemoryFile(name: "input", size: size)
    #expect(unsafe pwrite(file.number, (0..<size).map { UInt8(truncatingIfNeeded: $0) }, size, 0) == size)
    return file
  }

  @Test func aFileIsReadIntoPlaceAndNotBeyond() throws {
    let (memory, file) = (try makeMemory(), try makeFile(size: 64))
    try memory.readFile(descriptor: file.number, offset: 16, count: 8, into: GuestAddress(0x1100))
    #expect(try memory.read(count: 10, at: GuestAddress(0x10ff)) == [0, 16, 17, 18, 19, 20, 21, 22, 23, 0])
  }

  @Test(
    arguments: [(60, 8, 4), (64, 1, 1), (1 << 40, 1, 1), (UInt64(Int64.max), 1, 1), (.max, 1, 1), (.max, 0x4000, 0x4000)]
      as [(UInt64, UInt64, UInt64)])
  func aFileThatEndsTooEarlyIsReported(offset: UInt64, count: UInt64, missing: UInt64) throws {
    let (memory, file) = (try makeMemory(), try makeFile(size: 64))
    #expect(throws: GuestMemoryError.endOfFile(offset: offset, missing: missing)) {
      try memory.readFile(descriptor: file.number, offset: offset, count: count, into: GuestAddress(0x1000))
    }
  }

  @Test func aFilePartThatDoesNotFitIsRefusedBeforeAnythingIsRead() throws {
    let (memory, file) = (try makeMemory(), try makeFile(size: 64))
    #expect(throws: GuestMemoryError.outOfRange(GuestAddress(0x4ff0), count: 64)) {
      try memory.readFile(descriptor: file.number, offset: 0, count: 64, into: GuestAddress(0x4ff0))
    }
    #expect(try memory.read(count: 16, at: GuestAddress(0x4ff0)) == [UInt8](repeating: 0, count: 16))
  }

  @Test func aDescriptorThatCannotBeReadIsReported() throws {
    let memory = try makeMemory()
    let directory = try OwnedDescriptor.open("/", flags: O_RDONLY)
    let number = directory.number
    #expect(throws: GuestMemoryError.system(SystemError("read a file into guest memory", code: EISDIR))) {
      try memory.readFile(descriptor: number, offset: 0, count: 1, into: GuestAddress(0x1000))
    }
    _ = consume directory
  }
}
