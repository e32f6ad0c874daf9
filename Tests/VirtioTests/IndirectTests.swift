import GuestMemory
import Testing
import Virtio
import VirtioTesting

@Suite("Indirect descriptors")
struct IndirectTests {
  /// What a queue says to an indirect descriptor with a table of these.
  private func refusal(
    _ format: Format, _ table: [RawDescriptor], features: UInt64 = QueueBench.usual, flags: UInt16 = 0
  ) throws -> QueueError? {
    let bench = try QueueBench(format, features: features)
    let address = try bench.driver.writeTable(table)
    return try bench.refusal([.indirect(address, entries: table.count, flags: flags)])
  }

  @Test("a table without the feature is refused", arguments: Format.allCases)
  func withoutFeature(format: Format) throws {
    #expect(try refusal(format, [.readable()], features: VirtioFeatures.version1) == .badIndirect("came without the feature"))
  }

  @Test("a table inside a table is refused", arguments: Format.allCases)
  func nested(format: Format) throws {
    #expect(try refusal(format, [.indirect(0x1000, entries: 1)]) == .badIndirect("is inside an indirect table"))
    #expect(
      try refusal(format, [.readable(next: 1), .indirect(0x1000, entries: 1)]) == .badIndirect("is inside an indirect table"))
  }

  @Test("an indirect descriptor with a next one is refused", arguments: Format.allCases)
  func withNext(format: Format) throws {
    #expect(try refusal(format, [.readable()], flags: RawDescriptor.Flag.next) == .badIndirect("has a next one"))
  }

  @Test("a table that is not a whole number of descriptors is refused", arguments: Format.allCases, [1, 15, 17, 31, 127] as [UInt32])
  func oddLength(format: Format, length: UInt32) throws {
    let bench = try QueueBench(format)
    let descriptor = RawDescriptor(address: 0x1000, length: length, flags: RawDescriptor.Flag.indirect)
    #expect(
      try bench.refusal([descriptor]) == .badIndirect("has a table of \(length) bytes, which is not a multiple of 16"))
  }

  @Test("an empty table is refused", arguments: Format.allCases)
  func emptyTable(format: Format) throws {
    #expect(try refusal(format, []) == .badIndirect("has an empty table"))
  }

  @Test("a table longer than the queue is refused", arguments: Format.allCases)
  func longTable(format: Format) throws {
    let table = (0..<9).map { RawDescriptor.readable(next: $0 == 8 ? nil : UInt16($0 + 1)) }
    #expect(try refusal(format, table) == .badIndirect("has a table of 9 entries in a queue of 8"))
    let bench = try QueueBench(format)
    let huge = RawDescriptor(address: 0, length: 0xffff_fff0, flags: RawDescriptor.Flag.indirect)
    #expect(try bench.refusal([huge]) == .badIndirect("has a table of 268435455 entries in a queue of 8"))
  }

  static let outside: [UInt64] = [
    QueueBench.lowEnd, QueueBench.lowEnd - 16, QueueBench.highBase - 16, 0xfee0_0000, .max, .max - 31, QueueBench.highBase + (1 << 20),
  ]

  @Test("a table that is not wholly in guest memory is refused", arguments: Format.allCases, outside)
  func outsideTable(format: Format, address: UInt64) throws {
    let bench = try QueueBench(format)
    let text = "has a table at \(GuestAddress(address)) (32 bytes), which is not in guest memory"
    #expect(try bench.refusal([.indirect(address, entries: 2)]) == .badIndirect(text))
  }

  @Test("a loop inside a table is refused")
  func loopInTable() throws {
    #expect(try refusal(.split, [.readable(next: 0)]) == .chainTooLong(limit: 8))
    #expect(try refusal(.split, [.readable(next: 1), .readable(next: 0)]) == .chainTooLong(limit: 8))
  }

  @Test("a next field beyond the table is refused, even if the ring is longer")
  func nextOutOfTable() throws {
    #expect(try refusal(.split, [.readable(next: 2), .readable()]) == .badDescriptorIndex(2, entries: 2))
  }

  @Test("buffers in a table obey the rules of all buffers", arguments: Format.allCases)
  func buffersInTable(format: Format) throws {
    #expect(try refusal(format, [.readable(0x1000, 0)]) == .emptyBuffer(GuestAddress(0x1000)))
    #expect(try refusal(format, [.writable(next: 1), .readable()]) == .readableAfterWritable)
    #expect(
      try refusal(format, [.readable(.max, 2)]) == .bufferOutsideMemory(GuestAddress(.max), count: 2))
  }

  @Test("the write flag of the indirect descriptor itself is ignored", arguments: Format.allCases)
  func writeFlag(format: Format) throws {
    #expect(try refusal(format, [.readable()], flags: RawDescriptor.Flag.write) == nil)
  }

  @Test("a table that is not aligned is taken", arguments: Format.allCases)
  func unalignedTable(format: Format) throws {
    let bench = try QueueBench(format)
    let bytes = format == .split ? RawDescriptor.readable().splitBytes : RawDescriptor.readable().packedBytes
    try bench.memory.write(bytes, at: GuestAddress(0x3003))
    #expect(try bench.refusal([.indirect(0x3003, entries: 1)]) == nil)
  }

  @Test("direct descriptors may lead to a table at the end of a split chain")
  func directThenTable() throws {
    let bench = try QueueBench(.split)
    let table = try bench.driver.writeTable([.readable(0x1100, 2, next: 1), .writable(0x1200, 3)])
    let split = try #require(bench.driver as? SplitDriver)
    try split.write(.readable(0x1000, 1, next: 5), at: 0)
    try split.write(.indirect(table, entries: 2), at: 5)
    try split.publish(0)
    let chain = try bench.take()
    #expect(chain.readable.map(\.count) == [1, 2])
    #expect(chain.writable.map(\.count) == [3])
  }

  @Test("direct descriptors and a table together are not longer than the queue")
  func directAndTableTooLong() throws {
    let bench = try QueueBench(.split, size: 2)
    let table = try bench.driver.writeTable([.readable(next: 1), .readable()])
    #expect(try bench.refusal([.readable(next: 1), .indirect(table, entries: 2)]) == .chainTooLong(limit: 2))
  }

  @Test("an indirect descriptor behind another one in a packed ring is refused")
  func packedDirectThenTable() throws {
    let bench = try QueueBench(.packed)
    let table = try bench.driver.writeTable([.readable()])
    #expect(
      try bench.refusal([.readable(next: 0), .indirect(table, entries: 1)])
        == .badIndirect("follows another descriptor in a packed ring"))
  }

  @Test("next flags in a packed table mean nothing: all its entries are taken in order")
  func packedTableFlags() throws {
    let bench = try QueueBench(.packed)
    let table = try bench.driver.writeTable([.readable(0x1000, 1), .readable(0x1000, 2, next: 0), .writable(0x1000, 3, next: 9)])
    #expect(try bench.refusal([.indirect(table, entries: 3)]) == nil)
    let again = try QueueBench(.packed, memory: bench.memory)
    try (again.driver as? PackedDriver)?.publish([.indirect(table, entries: 3)])
    #expect(try again.take().readableBytes == 3)
  }
}
