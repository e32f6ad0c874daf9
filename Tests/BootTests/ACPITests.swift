import GuestMemory
import Testing

@testable import Boot

@Suite("ACPI tables")
struct ACPITests {
  private static let base: UInt64 = 0xe0000

  private static var routing: PCIInterruptRouting {
    PCIInterruptRouting { slot, pin in slot == 0 ? nil : 16 + UInt32((slot + pin) % 8) }
  }

  /// Finds the tables as a kernel does: root pointer, XSDT, FADT, and from there the DSDT and the FACS.
  private static func tables(_ board: X86Board, ramSize: UInt64 = 1 << 30) throws -> [String: [UInt8]] {
    let map = try X86AddressMap(ramSize: ramSize, physicalAddressBits: 46)
    let bytes = ACPITables(board: board, map: map).bytes(at: base)
    func table(_ address: UInt64) throws -> [UInt8] {
      let offset = Int(address - base)
      try #require(offset % 16 == 0)
      return Array(bytes[offset..<offset + Int(bytes.value(offset + 4, as: UInt32.self))])
    }
    try #require(bytes.text(0, 8) == "RSD PTR ")
    try #require(bytes[0..<20].reduce(0, &+) == 0 && bytes[0..<36].reduce(0, &+) == 0)
    let xsdt = try table(bytes.value(24))
    var found = ["XSDT": xsdt]
    for offset in stride(from: 36, to: xsdt.count, by: 8) {
      let one = try table(xsdt.value(offset))
      found[one.text(0, 4)] = one
    }
    let fadt = try #require(found["FACP"])
    found["DSDT"] = try table(fadt.value(140))
    try #require(UInt64(fadt.value(40, as: UInt32.self)) == fadt.value(140, as: UInt64.self))
    found["FACS"] = try table(UInt64(fadt.value(36, as: UInt32.self)))
    return found
  }

  /// Boards that differ in every property that changes a table.
  private static var boards: [X86Board] {
    var full = X86Board(processors: 32, pciInterrupts: routing)
    full.hasKeyboardController = true
    full.power.timerPort = 0x608
    var bare = X86Board(processors: 1, pciInterrupts: PCIInterruptRouting { _, _ in nil })
    (bare.serialPorts, bare.hasRTC, bare.hasPIC, bare.timerInput) = ([], false, false, nil)
    var odd = X86Board(processors: 254, pciInterrupts: routing)
    (odd.serialPorts, odd.timerInput) = ([2, 0, 7], 0)
    return [full, bare, odd]
  }

  @Test("each table but the FACS has a checksum", arguments: 0..<3)
  func checksums(index: Int) throws {
    let tables = try Self.tables(Self.boards[index])
    #expect(Set(tables.keys) == ["XSDT", "FACP", "FACS", "DSDT", "APIC", "MCFG"])
    for (name, table) in tables where name != "FACS" { #expect(table.sum == 0, "\(name)") }
  }

  @Test("the reference compiler takes each table apart and makes the same of it again, without a complaint", arguments: 0..<3)
  func referenceCompiler(index: Int) throws {
    let compiler = try ReferenceCompiler()
    for (name, table) in try Self.tables(Self.boards[index], ramSize: 5 << 30) where name != "XSDT" && name != "FACS" {
      let result = try compiler.roundTrip(table, name: name)
      #expect(result.complaints.isEmpty, "\(name)")
      // The compiler puts itself down as the maker, which changes the checksum too.
      let kept = { (bytes: [UInt8]) in Array(bytes[0..<9] + bytes[10..<28] + bytes[36...]) }
      #expect(kept(result.table) == kept(table), "\(name)")
    }
  }

  @Test("the FADT says how to reset and turn off the machine, and what it lacks")
  func fixedDescription() throws {
    var board = Self.boards[1]
    board.power.resetPort = 0x123
    let fadt = try #require(try Self.tables(board)["FACP"])
    #expect(fadt.count == 276)
    #expect(Array(fadt[116..<128]) == [1, 8, 0, 1, 0x23, 1, 0, 0, 0, 0, 0, 0])
    #expect(fadt[128] == 6)
    #expect(fadt.value(112, as: UInt32.self) & (1 << 10) != 0, "reset register")
    #expect(fadt.value(112, as: UInt32.self) & (1 << 4 | 1 << 20) == 0, "a power button, and the fixed hardware")
    #expect(fadt.value(56, as: UInt32.self) == 0x600)
    #expect(fadt.value(64, as: UInt32.self) == 0x604)
    #expect(fadt.value(76, as: UInt32.self) == 0, "no PM timer")
    #expect(fadt.value(46, as: UInt16.self) == 9)
    #expect(fadt.value(109, as: UInt16.self) == 0b110100, "neither legacy devices nor keyboard controller, VGA, clock")
    let full = try #require(try Self.tables(Self.boards[0])["FACP"])
    // The clock's byte with the century, where there is a clock.
    #expect(full[108] == (Self.boards[0].hasRTC ? 0x32 : 0) && fadt[108] == (board.hasRTC ? 0x32 : 0))
    #expect(full.value(76, as: UInt32.self) == 0x608)
    #expect(full.value(109, as: UInt16.self) == 0b010111)
  }

  @Test("the MADT lists processors, I/O APIC, and the interrupts that are not what their numbers say")
  func interruptControllers() throws {
    func entries(_ board: X86Board) throws -> [UInt8: [[UInt8]]] {
      let table = try #require(try Self.tables(board)["APIC"])
      var (found, offset): ([UInt8: [[UInt8]]], Int) = ([:], 44)
      while offset < table.count {
        let length = Int(table[offset + 1])
        try #require(length > 1 && offset + length <= table.count)
        found[table[offset], default: []].append(Array(table[offset..<offset + length]))
        offset += length
      }
      return found
    }
    let full = try entries(Self.boards[0])
    #expect(full[0]?.map { Int($0[3]) } == Array(0..<32))
    #expect(full[1]?.count == 1)
    #expect(full[2] == [[2, 10, 0, 0, 2, 0, 0, 0, 0, 0], [2, 10, 0, 9, 9, 0, 0, 0, 0b1101, 0]])
    let withoutTimer = try entries(Self.boards[1])
    #expect(withoutTimer[2]?.count == 1)
    #expect(try entries(Self.boards[2])[0]?.count == 254)
  }

  @Test("the MCFG names configuration space")
  func configurationSpace() throws {
    let table = try #require(try Self.tables(Self.boards[0])["MCFG"])
    #expect(table.count == 60)
    #expect(table.value(44, as: UInt64.self) == 0xf400_0000)
    #expect((table[54], table[55]) == (0, 63))
  }

  @Test("the DSDT has the devices of the board and no others")
  func devices() throws {
    let compiler = try ReferenceCompiler()
    func source(_ board: X86Board) throws -> String { try compiler.disassembled(try #require(try Self.tables(board)["DSDT"])) }
    let full = try source(Self.boards[0])
    for name in ["COM1", "COM2", "COM3", "COM4", "RTC", "KBD", "PCI0", "ECAM"] { #expect(full.contains("Device (\(name))"), "\(name)") }
    #expect(full.contains("0xD0000000,         // Range Minimum"))
    #expect(full.contains("0xF3FFFFFF,         // Range Maximum"))
    let odd = try source(Self.boards[2])
    #expect(odd.contains("Device (COM1)") && odd.contains("Device (COM3)"))
    #expect(!odd.contains("Device (COM2)") && !odd.contains("Device (COM4)") && !odd.contains("Device (KBD)"))
    #expect(try !source(Self.boards[1]).contains("Device (RTC)"))
  }

  @Test("the largest board's tables fit their place")
  func space() throws {
    let guest = try GuestFixture()
    let board = X86Board(processors: 254, pciInterrupts: PCIInterruptRouting { _, _ in 23 })
    let tables = try MachineTables(board: board, map: guest.map)
    #expect(tables.pieces.allSatisfy { $0.bytes.count < 0x8000 })
  }
}
