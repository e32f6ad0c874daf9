import GuestMemory
import Testing
import Virtio
import VirtioTesting

@Suite("Reading and writing across the borders of buffers")
struct ChainCursorTests {
  private static let content = (0..<24).map { UInt8($0 + 1) }

  /// A chain with these lengths of readable buffers, which hold 1, 2, 3, ... in order, and of writable ones.
  private func chain(_ readable: [Int], writable: [Int] = []) throws -> (DescriptorChain, QueueBench, Request) {
    let bench = try QueueBench(.split, size: 32)
    var done = 0
    let contents = readable.map { count -> [UInt8] in
      defer { done += count }
      return Array(Self.content[done..<done + count])
    }
    let request = try bench.driver.submit(readable: contents, writable: writable)
    return (try bench.take(), bench, request)
  }

  @Test("integers and bytes are read alike wherever the driver cuts the request")
  func everyCut() throws {
    for first in 1..<23 {
      for second in (first + 1)..<24 {
        let (chain, _, _) = try chain([first, second - first, 24 - second])
        var reader = ChainReader(chain)
        #expect(try reader.read(UInt8.self) == 0x01)
        #expect(try reader.read(UInt16.self) == 0x0302)
        #expect(try reader.read(UInt32.self) == 0x0706_0504)
        #expect(try reader.read(UInt64.self) == 0x0f0e_0d0c_0b0a_0908)
        try reader.skip(2)
        #expect(try reader.readBytes(7) == Array(18...24))
        #expect(reader.remaining == 0)
        #expect(reader.offset == 24)
      }
    }
  }

  @Test("a request in pieces of one byte is read as a whole")
  func oneByteBuffers() throws {
    let (chain, _, _) = try chain((0..<24).map { _ in 1 })
    var reader = ChainReader(chain)
    #expect(try reader.read(UInt64.self) == 0x0807_0605_0403_0201)
    #expect(try reader.readBytes(16) == Array(9...24))
  }

  @Test("integers and bytes are written alike wherever the driver cuts the request")
  func everyWriteCut() throws {
    for first in 1..<16 {
      let (chain, bench, request) = try chain([], writable: [first, 17 - first])
      var writer = ChainWriter(chain)
      try writer.write(integer: 0x01 as UInt8)
      try writer.write(integer: 0x0302 as UInt16)
      try writer.write(integer: 0x0706_0504 as UInt32)
      try writer.write(integer: 0x0f0e_0d0c_0b0a_0908 as UInt64)
      try writer.skip(1)
      try writer.fill(0x7f, count: 1)
      #expect(writer.written == 17)
      #expect(writer.remaining == 0)
      #expect(try bench.driver.written(request, count: 17) == Array(1...15) + [0, 0x7f])
    }
  }

  @Test("what does not fit is refused, and the position stays")
  func outOfBounds() throws {
    let (chain, _, _) = try chain([2, 3], writable: [2, 1])
    var reader = ChainReader(chain)
    #expect(throws: ChainError.outOfBounds(offset: 0, count: 8, available: 5)) { try reader.read(UInt64.self) }
    #expect(throws: ChainError.outOfBounds(offset: 0, count: 6, available: 5)) { try reader.skip(6) }
    #expect(throws: ChainError.outOfBounds(offset: 0, count: .max, available: 5)) { try reader.skip(.max) }
    #expect(throws: ChainError.self) { try reader.readBytes(-1) }
    #expect(throws: ChainError.self) { try reader.readBytes(.max) }
    #expect(try reader.readBytes(5) == [1, 2, 3, 4, 5])
    #expect(throws: ChainError.outOfBounds(offset: 5, count: 1, available: 5)) { try reader.read(UInt8.self) }
    var writer = ChainWriter(chain)
    #expect(throws: ChainError.self) { try writer.write([1, 2, 3, 4]) }
    #expect(throws: ChainError.self) { try writer.fill(0, count: .max) }
    #expect(writer.written == 0)
    try writer.write([1, 2, 3])
    #expect(throws: ChainError.self) { try writer.write(integer: 0 as UInt8) }
    try writer.write([])
  }

  @Test("pieces for a system call add up to every range, and no other is given")
  func everySlice() throws {
    let (chain, _, _) = try chain([1, 4, 2, 5])
    for offset in 0...13 as ClosedRange<UInt64> {
      for count in 0...13 as ClosedRange<UInt64> {
        var pieces: [GuestSlice] = []
        if offset + count <= 12 {
          try chain.slices(from: offset, count: count, of: .readable, into: &pieces)
          #expect(try pieces.flatMap { try $0.bytes() } == Array(Self.content[Int(offset)..<Int(offset + count)]))
          #expect(!pieces.contains { $0.count == 0 })
        } else {
          #expect(throws: ChainError.self) { try chain.slices(from: offset, count: count, of: .readable, into: &pieces) }
          #expect(pieces.isEmpty)
        }
      }
    }
    var none: [GuestSlice] = []
    #expect(throws: ChainError.self) { try chain.slices(from: .max, count: .max, of: .readable, into: &none) }
    #expect(throws: ChainError.self) { try chain.slices(from: 0, count: 1, of: .writable, into: &none) }
  }

  @Test("cursors give pieces and move on")
  func cursorSlices() throws {
    let (chain, _, _) = try chain([3, 3], writable: [2, 2])
    var reader = ChainReader(chain)
    var writer = ChainWriter(chain)
    var pieces: [GuestSlice] = []
    try reader.skip(1)
    try reader.slices(4, into: &pieces)
    #expect(pieces.map(\.count) == [2, 2])
    #expect(try reader.read(UInt8.self) == 6)
    pieces = []
    try writer.slices(3, into: &pieces)
    #expect(pieces.map(\.count) == [2, 1])
    #expect(writer.written == 3)
  }

  @Test("part of a request is copied from any offset")
  func copyReadable() throws {
    let (chain, _, _) = try chain([3, 3])
    var bytes: [UInt8] = [0xee]
    try chain.copyReadable(offset: 2, count: 3, into: &bytes)
    #expect(bytes == [0xee, 3, 4, 5])
    #expect(throws: ChainError.self) { try chain.copyReadable(offset: 2, count: 5, into: &bytes) }
    #expect(throws: ChainError.self) { try chain.copyReadable(offset: .max, count: 1, into: &bytes) }
    #expect(bytes.count == 4)
  }
}
