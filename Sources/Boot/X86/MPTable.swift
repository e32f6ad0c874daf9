/// The table of processors and interrupts for kernels that do not read ACPI (MultiProcessor Specification 1.4, chapter 4).
struct MPTable {
  var board: X86Board

  private static let pciBus: UInt8 = 0
  private static let isaBus: UInt8 = 1
  private static let apicVersion: UInt8 = 0x14
  private static let ioapicVersion: UInt8 = 0x11
  private static let allProcessors: UInt8 = 0xff
  private static let pointerSize: UInt64 = 16

  /// Types of interrupt (table 4-11).
  private enum Interrupt: UInt8 {
    case vectored = 0
    case nonMaskable = 1
    case externalController = 3
  }

  /// Polarity in bits 0 and 1, trigger in bits 2 and 3 (table 4-10).
  private enum Signal {
    static let asTheBus: UInt16 = 0
    static let levelHigh: UInt16 = 0b1101
    static let levelLow: UInt16 = 0b1111
  }

  /// The floating pointer and behind it the table, for guest memory at `address`.
  func bytes(at address: UInt64) -> [UInt8] {
    var pointer = TableBytes()
    pointer.append(text: "_MP_", width: 4)
    pointer.append(UInt32(truncatingIfNeeded: address + MPTable.pointerSize))
    pointer.append(UInt8(1))  // length in paragraphs of 16 bytes
    pointer.append(UInt8(4))  // revision 1.4
    pointer.append(zeros: 6)  // checksum; no default configuration; virtual wire mode
    pointer.setChecksum(at: 10)
    return pointer.bytes + table()
  }

  private func table() -> [UInt8] {
    let entries = [processors(), buses(), ioapic(), isaInterrupts(), pciInterrupts(), localInterrupts()].flatMap { $0 }
    var table = TableBytes()
    table.append(text: "PCMP", width: 4)
    table.append(UInt16(0))  // length
    table.append(UInt8(4))  // revision 1.4
    table.append(UInt8(0))  // checksum
    table.append(text: "CROSVM", width: 8)
    table.append(text: "CROSVM", width: 12)
    table.append(zeros: 6)  // no OEM table
    table.append(UInt16(entries.count))
    table.append(UInt32(X86Layout.localAPIC))
    table.append(zeros: 4)  // no extended entries
    for entry in entries { table.append(bytes: entry) }
    table.set(UInt16(clamping: table.count), at: 4)
    table.setChecksum(at: 7)
    return table.bytes
  }

  private func processors() -> [[UInt8]] {
    (0..<board.processors).map { number in
      var entry = TableBytes()
      entry.append(UInt8(0))
      entry.append(UInt8(clamping: number))
      entry.append(MPTable.apicVersion)
      entry.append(UInt8(number == 0 ? 0b11 : 0b01))  // enabled; bootstrap processor
      entry.append(UInt32(0x600))  // signature: family 6
      entry.append(UInt32(0x201))  // features: FPU, APIC
      entry.append(zeros: 8)
      return entry.bytes
    }
  }

  private func buses() -> [[UInt8]] {
    [(MPTable.pciBus, "PCI"), (MPTable.isaBus, "ISA")].map { number, name in
      var entry = TableBytes()
      entry.append(UInt8(1))
      entry.append(number)
      entry.append(text: name, width: 6)
      return entry.bytes
    }
  }

  private func ioapic() -> [[UInt8]] {
    var entry = TableBytes()
    entry.append(UInt8(2))
    entry.append(board.ioapicNumber)
    entry.append(MPTable.ioapicVersion)
    entry.append(UInt8(1))  // enabled
    entry.append(UInt32(X86Layout.ioapic))
    return [entry.bytes]
  }

  /// The ISA interrupts that lead to the input of their own number, the timer's, and ACPI's; not those that belong to PCI.
  private func isaInterrupts() -> [[UInt8]] {
    let taken = Set(board.pciInterrupts.routes.map(\.gsi))
    return (0..<UInt8(16)).compactMap { line in
      // Line 2 joins the two 8259s. Without a timer there is no line 0.
      guard line != 2, let input = line == 0 ? board.timerInput : UInt32(line), !taken.contains(input) else { return nil }
      let signal = line == board.power.interrupt ? Signal.levelHigh : Signal.asTheBus
      return interrupt(3, .vectored, signal, bus: MPTable.isaBus, line: line, to: board.ioapicNumber, input: UInt8(clamping: input))
    }
  }

  private func pciInterrupts() -> [[UInt8]] {
    board.pciInterrupts.routes.map { route in
      let line = UInt8(clamping: route.slot << 2 | route.pin)
      return interrupt(
        3, .vectored, Signal.levelLow, bus: MPTable.pciBus, line: line, to: board.ioapicNumber, input: UInt8(clamping: route.gsi))
    }
  }

  /// Every local APIC gets the 8259's interrupts at its first input and NMI at its second.
  private func localInterrupts() -> [[UInt8]] {
    let everyone = MPTable.allProcessors
    let controller = interrupt(4, .externalController, Signal.asTheBus, bus: MPTable.isaBus, line: 0, to: everyone, input: 0)
    let nonMaskable = interrupt(4, .nonMaskable, Signal.asTheBus, bus: MPTable.isaBus, line: 0, to: everyone, input: 1)
    return board.hasPIC ? [controller, nonMaskable] : [nonMaskable]
  }

  private func interrupt(
    _ entryType: UInt8, _ type: Interrupt, _ signal: UInt16, bus: UInt8, line: UInt8, to destination: UInt8, input: UInt8
  ) -> [UInt8] {
    [entryType, type.rawValue, UInt8(truncatingIfNeeded: signal), 0, bus, line, destination, input]
  }
}
