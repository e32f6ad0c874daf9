import Glibc
import GuestMemory
import Platform
import Testing

@Suite struct GuestSliceTests {
  /// Offsets and lengths against a window of 16 bytes.
  static let nonsense: [(Int, Int)] = [
    (17, 0), (16, 1), (15, 2), (0, 17), (-1, 0), (-1, 1), (0, -1), (1, -1), (8, .max), (.max, 1), (.max, .max), (.min, 0), (.min, .min),
    (1, .min),
  ]

  private func makeSlice() throws -> (memory: GuestMemory, slice: GuestSlice) {
    let memory = try makeMemory()
    try memory.write((0..<32).map { UInt8($0) }, at: GuestAddress(0x1ff0))
    return (memory, try memory.slice(GuestAddress(0x1ff8), count: 16))
  }

  @Test(arguments: nonsense) func whatIsNotInsideIsRefused(offset: Int, length: Int) throws {
    let slice = try makeSlice().slice
    #expect(throws: GuestMemoryError.self) { _ = try slice.slice(offset, count: length) }
    #expect(throws: GuestMemoryError.self) { _ = try slice.bytes(offset, count: length) }
  }

  @Test(arguments: [16, 9, -1, .min, .max]) func anIntegerThatIsNotInsideIsRefused(offset: Int) throws {
    let slice = try makeSlice().slice
    #expect(throws: GuestMemoryError.self) { _ = try slice.load(offset, as: UInt64.self) }
    #expect(throws: GuestMemoryError.self) { try slice.store(0 as UInt64, at: offset) }
    #expect(throws: GuestMemoryError.self) { try slice.copy(from: [UInt8](repeating: 0, count: 8), at: offset) }
    #expect(throws: GuestMemoryError.self) {
      var target = [UInt8](repeating: 0, count: 8)
      var span = target.mutableSpan
      // Any bytes make valid integers.
      var bytes = unsafe span.mutableBytes
      try slice.copy(offset, into: &bytes)
    }
  }

  @Test(arguments: [17, -1, .min, .max]) func theRestFromAnOffsetOutsideIsRefused(offset: Int) throws {
    let slice = try makeSlice().slice
    #expect(throws: GuestMemoryError.self) { _ = try slice.bytes(offset) }
  }

  @Test func theEmptyRestAtTheEndIsEmpty() throws {
    let slice = try makeSlice().slice
    #expect(try slice.bytes(16).isEmpty)
    #expect(try slice.slice(16, count: 0).count == 0)
  }

  @Test func aRefusalNamesTheGuestAddress() throws {
    let slice = try makeSlice().slice
    #expect(throws: GuestMemoryError.outOfRange(GuestAddress(0x2007), count: 2)) { _ = try slice.load(15, as: UInt16.self) }
    #expect(throws: GuestMemoryError.misaligned(GuestAddress(0x1ff9))) { _ = try slice.loadAcquire16(1) }
    #expect(throws: GuestMemoryError.misaligned(GuestAddress(0x1ffb))) { try slice.slice(1, count: 4).storeRelease16(0, at: 2) }
  }

  @Test func windowsInWindowsSeeTheSameBytes() throws {
    let (memory, slice) = try makeSlice()
    let inner = try slice.slice(4, count: 8).slice(2, count: 4)
    #expect(inner.address == GuestAddress(0x1ffe))
    #expect(try inner.bytes() == [14, 15, 16, 17])
    try inner.storeRelease16(0xbeef, at: 2)
    #expect(try memory.load(GuestAddress(0x2000), as: UInt16.self) == 0xbeef)
    #expect(try inner.loadAcquire16(2) == 0xbeef)
    #expect(throws: GuestMemoryError.self) { _ = try inner.bytes(0, count: 5) }
  }

  @Test func bytesAreCopiedBothWays() throws {
    let (memory, slice) = try makeSlice()
    var target = [UInt8](repeating: 0, count: 3)
    var span = target.mutableSpan
    // Any bytes make valid integers.
    var bytes = unsafe span.mutableBytes
    try slice.copy(1, into: &bytes)
    #expect(target == [9, 10, 11])
    try slice.copy(from: [1, 2], at: 14)
    slice.fill(7)
    #expect(try memory.read(count: 18, at: GuestAddress(0x1ff7)) == [7] + [UInt8](repeating: 7, count: 16) + [24])
  }

  @Test func aSystemCallGetsTheWindowItself() throws {
    let (memory, slice) = try makeSlice()
    // From another page of the same file: a source that overlaps would be copied in an order of the kernel's choice.
    try memory.write((100..<116).map { UInt8($0) }, at: GuestAddress(0x10000))
    let (file, source) = (memory.file.number, memory.regions[1].fileOffset)
    let length = unsafe slice.withUnsafePointer { unsafe pread(file, $0, slice.count, Int(source)) }
    #expect(length == 16)
    #expect(try slice.bytes() == (100..<116).map { UInt8($0) })
  }

  @Test func aSliceOutlivesItsMemoryObject() throws {
    let slice = try makeMemory().slice(GuestAddress(0x10000), count: 4)
    try slice.store(5 as UInt32, at: 0)
    #expect(try slice.load(0, as: UInt32.self) == 5)
  }
}
