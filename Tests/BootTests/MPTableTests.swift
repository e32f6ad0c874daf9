import GuestMemory
import Testing

@testable import Boot

@Suite("The MP table")
struct MPTableTests {
  private let routing = PCIInterruptRouting { slot, pin in slot == 0 ? nil : 16 + UInt32((slot + pin) % 8) }

  /// The table's entries by type.
  private func entries(_ board: X86Board) throws -> [UInt8: [[UInt8]]] {
    let bytes = MPTable(board: board).bytes(at: 0x9e000)
    try #require(bytes.text(0, 4) == "_MP_")
    try #require(bytes[0..<16].reduce(0, &+) == 0)
    try #require(bytes.value(4, as: UInt32.self) == 0x9e010)
    let table = Array(bytes[16...])
    try #require(table.text(0, 4) == "PCMP")
    try #require(table.sum == 0)
    try #require(Int(table.value(4, as: UInt16.self)) == table.count)
    var (found, offset): ([UInt8: [[UInt8]]], Int) = ([:], 44)
    for _ in 0..<table.value(34, as: UInt16.self) {
      let size = table[offset] == 0 ? 20 : 8
      found[table[offset], default: []].append(Array(table[offset..<offset + size]))
      offset += size
    }
    try #require(offset == table.count)
    return found
  }

  @Test("every vCPU is in it, the first as the bootstrap processor, and the I/O APIC has a number of its own", arguments: [1, 2, 32, 254])
  func processors(count: Int) throws {
    let entries = try entries(X86Board(processors: count, pciInterrupts: routing))
    let processors = try #require(entries[0])
    #expect(processors.map { Int($0[1]) } == Array(0..<count))
    #expect(processors.map { $0[3] } == [3] + [UInt8](repeating: 1, count: count - 1))
    #expect(entries[2]?.map { Int($0[1]) } == [count])
    #expect(entries[2]?.first?.value(4, as: UInt32.self) == 0xfec0_0000)
  }

  @Test("each pin of each PCI slot leads to its input, level-triggered")
  func pci() throws {
    let interrupts = try #require(try entries(X86Board(processors: 1, pciInterrupts: routing))[3])
    let pci = interrupts.filter { $0[4] == 0 }
    #expect(pci.count == 31 * 4)
    #expect(pci.allSatisfy { $0[2] == 0xf && $0[6] == 1 })
    let route = try #require(pci.first { $0[5] == 5 << 2 | 2 })
    #expect(route[7] == 23)
  }

  @Test("ISA interrupts lead to their own numbers, the timer's to where the board says, and none where PCI has the input")
  func isa() throws {
    var board = X86Board(processors: 1, pciInterrupts: PCIInterruptRouting { slot, _ in slot == 1 ? 5 : nil })
    func lines() throws -> [UInt8: UInt8] {
      let interrupts = try #require(try entries(board)[3]).filter { $0[4] == 1 }
      return Dictionary(uniqueKeysWithValues: interrupts.map { ($0[5], $0[7]) })
    }
    #expect(try lines()[0] == 2)
    #expect(try lines()[4] == 4)
    #expect(try lines()[5] == nil)
    #expect(try lines()[2] == nil)
    board.timerInput = 0
    #expect(try lines()[0] == 0)
    board.timerInput = nil
    #expect(try lines()[0] == nil)
  }

  @Test("it lies where the BIOS data area says that the extended one is")
  func place() throws {
    let guest = try GuestFixture()
    _ = try guest.prepare(BzImageFixture().bytes)
    let segment: UInt16 = try guest.memory.load(GuestAddress(0x40e))
    #expect(try guest.bytes(4, at: UInt64(segment) << 4) == Array("_MP_".utf8))
    #expect(try guest.memory.load(GuestAddress(0x413), as: UInt16.self) == 632)
  }

  @Test("boards that the tables cannot describe are refused")
  func refusals() throws {
    var guest = try GuestFixture()
    for count in [0, -1, 255, .max] {
      guest.board = X86Board(processors: count, pciInterrupts: routing)
      #expect(throws: BootError.tables(.badProcessorCount(count, maximum: 254))) { try guest.prepare(BzImageFixture().bytes) }
    }
    guest.board = X86Board(processors: 1, pciInterrupts: PCIInterruptRouting { _, _ in 24 })
    #expect(throws: BootError.tables(.badInterrupt(24, inputs: 24))) { try guest.prepare(BzImageFixture().bytes) }
  }

  @Test("a table larger than its place is refused")
  func tooLarge() {
    #expect(throws: BootError.tables(.tooLarge(table: "MP table", bytes: 5, space: 4))) {
      try MachineTables.piece("MP table", [1, 2, 3, 4, 5], in: 0..<4)
    }
  }
}
