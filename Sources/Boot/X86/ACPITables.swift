/// The ACPI tables of the machine (ACPI 6.5, chapter 5): root pointer, XSDT, FADT, FACS, DSDT, MADT, MCFG, in one piece of memory.
struct ACPITables {
  var board: X86Board
  var map: X86AddressMap

  private static let rootSize = 36

  /// All tables, for guest memory at `address`, a multiple of 64; the root pointer comes first.
  func bytes(at address: UInt64) -> [UInt8] {
    var place = Placement(base: address, reserved: ACPITables.rootSize)
    let facs = place.add(ACPITables.facs)
    let dsdt = place.add(DSDT(board: board, map: map).table.bytes)
    let tables = [fadt(facs: facs, dsdt: dsdt), madt(), mcfg()].map { place.add($0.bytes) }
    let xsdt = place.add(ACPITable("XSDT", revision: 1) { table in for address in tables { table.append(address) } }.bytes)
    return ACPITables.rootPointer(xsdt: xsdt) + place.bytes.dropFirst(ACPITables.rootSize)
  }

  /// Lays tables one behind the other, each at a multiple of 64 (which the FACS needs).
  private struct Placement {
    let base: UInt64
    private(set) var bytes: [UInt8]

    init(base: UInt64, reserved: Int) {
      self.base = base
      bytes = [UInt8](repeating: 0, count: reserved)
    }

    /// Appends a table and returns its address.
    mutating func add(_ table: [UInt8]) -> UInt64 {
      bytes.append(contentsOf: repeatElement(0, count: -bytes.count & 63))
      defer { bytes.append(contentsOf: table) }
      return base + UInt64(bytes.count)
    }
  }

  /// 5.2.5.3, root system description pointer.
  static func rootPointer(xsdt: UInt64) -> [UInt8] {
    var pointer = TableBytes()
    pointer.append(text: "RSD PTR ", width: 8)
    pointer.append(UInt8(0))  // checksum of the first 20 bytes
    pointer.append(text: ACPITable.oem, width: 6)
    pointer.append(UInt8(2))  // revision
    pointer.append(UInt32(0))  // no RSDT
    pointer.append(UInt32(rootSize))
    pointer.append(xsdt)
    pointer.append(zeros: 4)  // checksum of all
    pointer.setChecksum(at: 8, over: 0..<20)
    pointer.setChecksum(at: 32)
    return pointer.bytes
  }

  /// 5.2.10, firmware ACPI control structure: nothing but its header, there is no waking vector.
  private static var facs: [UInt8] {
    var table = TableBytes()
    table.append(text: "FACS", width: 4)
    table.append(UInt32(64))
    table.append(zeros: 24)
    table.append(UInt8(2))  // version
    table.append(zeros: 31)
    return table.bytes
  }

  /// 5.2.12, multiple APIC description table.
  func madt() -> ACPITable {
    ACPITable("APIC", revision: 5) { table in
      table.append(UInt32(X86Layout.localAPIC))
      table.append(UInt32(board.hasPIC ? 1 : 0))
      for number in 0..<board.processors { table.append(bytes: ACPITables.processor(number)) }
      table.append(bytes: [1, 12, board.ioapicNumber, 0])
      table.append(UInt32(X86Layout.ioapic))
      table.append(UInt32(0))  // its first input is interrupt 0
      if let input = board.timerInput, input != 0 { table.append(bytes: ACPITables.override(0, to: input, flags: 0)) }
      // Level-triggered, active high.
      table.append(bytes: ACPITables.override(board.power.interrupt, to: UInt32(board.power.interrupt), flags: 0b1101))
      table.append(bytes: [4, 6, 0xff, 0, 0, 1])  // NMI at every processor's LINT1
    }
  }

  /// A local APIC, or, for numbers from 255 on, a local x2APIC; enabled.
  private static func processor(_ number: Int) -> [UInt8] {
    var entry = TableBytes()
    if number < 255 {
      entry.append(bytes: [0, 8, UInt8(number), UInt8(number)])
      entry.append(UInt32(1))
    } else {
      entry.append(bytes: [9, 16, 0, 0])
      entry.append(UInt32(clamping: number))
      entry.append(UInt32(1))
      entry.append(UInt32(clamping: number))
    }
    return entry.bytes
  }

  /// An ISA interrupt that is not what its number says.
  private static func override(_ line: UInt8, to input: UInt32, flags: UInt16) -> [UInt8] {
    var entry = TableBytes()
    entry.append(bytes: [2, 10, 0, line])
    entry.append(input)
    entry.append(flags)
    return entry.bytes
  }

  /// PCI Firmware Specification 3.3, 4.1.2: where configuration space is.
  func mcfg() -> ACPITable {
    ACPITable("MCFG", revision: 1) { table in
      table.append(zeros: 8)
      table.append(X86Layout.ecam.lowerBound)
      table.append(UInt16(0))  // segment
      table.append(bytes: [0, X86Layout.lastPCIBus])
      table.append(zeros: 4)
    }
  }
}
