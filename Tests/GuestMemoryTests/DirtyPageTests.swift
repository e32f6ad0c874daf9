import GuestMemory
import Platform
import Testing

@Suite struct DirtyPageTests {
  @Test func everyVerbThatWritesMarksItsPagesAndReadingMarksNone() throws {
    let memory = try makeMemory(tracksWrites: true)
    #expect(pages(memory.takeDirtyPages(regionIndex: 0)).isEmpty)
    _ = try memory.read(count: 0x4000, at: GuestAddress(0x1000))
    #expect(pages(memory.takeDirtyPages(regionIndex: 0)).isEmpty)

    try memory.store(1 as UInt8, at: GuestAddress(0x1fff))
    #expect(pages(memory.takeDirtyPages(regionIndex: 0)) == [0])
    try memory.store(1 as UInt16, at: GuestAddress(0x1fff))
    #expect(pages(memory.takeDirtyPages(regionIndex: 0)) == [0, 1])
    try memory.write([1, 2], at: GuestAddress(0x4ffe))
    #expect(pages(memory.takeDirtyPages(regionIndex: 0)) == [3])
    try memory.slice(GuestAddress(0x1000), count: 0x4000).fill(0)
    #expect(pages(memory.takeDirtyPages(regionIndex: 0)) == [0, 1, 2, 3])
    try memory.slice(GuestAddress(0x1000), count: 0x4000).slice(0x1800, count: 0x1000).storeRelease16(1, at: 0x800)
    #expect(pages(memory.takeDirtyPages(regionIndex: 0)) == [2])
    unsafe try memory.slice(GuestAddress(0x2000), count: 1).withUnsafePointer { _ in }
    #expect(pages(memory.takeDirtyPages(regionIndex: 0)) == [1])
    try memory.slice(GuestAddress(0x3000), count: 1).markWritten()
    #expect(pages(memory.takeDirtyPages(regionIndex: 0)) == [2])
  }

  @Test func regionsHaveTheirOwnBits() throws {
    let memory = try makeMemory(tracksWrites: true)
    try memory.store(1 as UInt8, at: GuestAddress(0x11000))
    #expect(pages(memory.takeDirtyPages(regionIndex: 0)).isEmpty)
    #expect(pages(memory.takeDirtyPages(regionIndex: 1)) == [1])
  }

  @Test func anEmptyWriteMarksNothing() throws {
    let memory = try makeMemory(tracksWrites: true)
    try memory.write([UInt8](), at: GuestAddress(0x1000))
    try memory.slice(GuestAddress(0x1000), count: 0).fill(1)
    #expect(pages(memory.takeDirtyPages(regionIndex: 0)).isEmpty)
  }

  @Test func aSystemCallsPagesAreMarkedAfterIt() throws {
    let memory = try makeMemory(tracksWrites: true)
    unsafe try memory.slice(GuestAddress(0x1000), count: 1).withUnsafePointer { _ in
      #expect(pages(memory.takeDirtyPages(regionIndex: 0)).isEmpty)
    }
    #expect(pages(memory.takeDirtyPages(regionIndex: 0)) == [0])
  }

  @Test(arguments: [-1, 2, Int.max, Int.min]) func aRegionThatIsNotHasNoPages(index: Int) throws {
    #expect(try makeMemory(tracksWrites: true).takeDirtyPages(regionIndex: index).isEmpty)
    #expect(try makeMemory().takeDirtyPages(regionIndex: 0).isEmpty)
  }

  @Test func noWriteIsLostWhileAnotherThreadTakes() throws {
    let memory = try GuestMemory(regions: [(GuestAddress(0), 64 * 4096)], tracksWrites: true)
    let rounds: UInt32 = 2_000
    let writer = try PThread(name: "writer") {
      for round in 1...rounds { try? memory.store(round, at: GuestAddress(UInt64(round % 64) * 4096)) }
    }
    // What migration does: take the bits, then read the pages they name.
    var copy = [UInt32](repeating: 0, count: 64)
    func takeOnce() throws {
      for page in pages(memory.takeDirtyPages(regionIndex: 0)) { copy[page] = try memory.load(GuestAddress(UInt64(page) * 4096)) }
    }
    for _ in 0..<200 { try takeOnce() }
    writer.join()
    try takeOnce()
    #expect(try copy == (0..<64).map { try memory.load(GuestAddress(UInt64($0) * 4096)) })
  }
}
