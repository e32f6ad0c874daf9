/// Which interrupt controller input the pin of a slot is wired to; the same function serves devices, ACPI and the MP table.
public struct PCIInterruptRouting: Hashable, Sendable {
  /// The first global system interrupt that PCI uses.
  public let firstGSI: UInt32
  /// How many inputs, one after the other, PCI uses; at least 1.
  public let lineCount: UInt32

  /// Describes the wiring; a `lineCount` of zero counts as one.
  public init(firstGSI: UInt32 = 16, lineCount: UInt32 = 8) {
    self.firstGSI = firstGSI
    self.lineCount = max(lineCount, 1)
  }

  /// The global system interrupt of a pin.
  ///
  /// - Parameters:
  ///   - slot: 0...31.
  ///   - pin: 0 for INTA to 3 for INTD.
  public func gsi(slot: Int, pin: Int) -> UInt32 { firstGSI + UInt32(truncatingIfNeeded: (slot & 31) + (pin & 3)) % lineCount }
}
