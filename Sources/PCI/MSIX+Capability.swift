extension MSIX {
  /// Where a table is: the number of a base address register, and the offset in its range.
  public struct Place: Hashable, Sendable {
    /// The register's number, 0...5.
    public let bar: Int
    /// The offset in bytes, a multiple of 8.
    public let offset: UInt32

    /// Names a place.
    public init(bar: Int, offset: UInt32) {
      self.bar = bar
      self.offset = offset
    }

    /// The register as the capability shows it.
    var word: UInt32 { offset & ~7 | UInt32(bar & 7) }
  }

  /// Adds the capability to a function's list (PCI 3.0, section 6.8.2).
  ///
  /// - Returns: The capability's offset in configuration space; two bytes on is the message control word.
  /// - Throws: `badCapability` when a place is impossible, the tables overlap or the list is full.
  public func addCapability(to space: inout PCIConfigurationSpace, table: Place, pending: Place) throws(PCIError) -> Int {
    for place in [table, pending] {
      guard (0...5).contains(place.bar), place.offset % 8 == 0 else {
        throw .badCapability(id: MSIX.capabilityID, reason: "a table is not at a multiple of 8 bytes in one of six registers")
      }
    }
    let tableEnd = UInt64(table.offset) + UInt64(vectorCount * MSIX.entrySize)
    let pendingEnd = UInt64(pending.offset) + MSIX.pendingSize(vectorCount: vectorCount)
    if table.bar == pending.bar, table.offset < pendingEnd, pending.offset < tableEnd {
      throw .badCapability(id: MSIX.capabilityID, reason: "its two tables overlap")
    }
    // Message control: the number of vectors less one; the guest may write the two highest bits.
    let control = UInt16(vectorCount - 1)
    let words = [table.word, pending.word].flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
    return try space.addCapability(
      id: MSIX.capabilityID, body: [UInt8(truncatingIfNeeded: control), UInt8(control >> 8)] + words, writable: [0, 0xc0])
  }

  /// Takes over the message control word from a function's registers, when a write has touched the capability.
  ///
  /// - Parameter capability: What `addCapability` returned.
  public func update(from space: PCIConfigurationSpace, capability: Int) {
    setControl(UInt16(truncatingIfNeeded: space.read(offset: capability + 2, width: 2)))
  }
}
