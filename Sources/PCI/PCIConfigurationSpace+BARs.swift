public import Bus

extension PCIConfigurationSpace {
  /// Adds a base address register, at address zero.
  ///
  /// Software finds the size by writing ones and reading back which bits took them (PCI 3.0, section 6.2.5.1).
  ///
  /// - Throws: `PCIError.badBAR` when a register is taken.
  public mutating func add(_ bar: BAR) throws(PCIError) {
    if let other = bars.first(where: { $0.registers.overlaps(bar.registers) }) {
      throw .badBAR(index: bar.index, reason: "register \(other.index) takes the same place")
    }
    bars.append(bar)
    bars.sort { $0.index < $1.index }
    let addressBits = ~(bar.size - 1)
    for index in 0..<(4 * bar.registers.count) {
      writable[bar.registerOffset + index] = UInt8(truncatingIfNeeded: addressBits >> UInt64(8 * index))
    }
    // The size is at least 16 bytes or 4 ports, so that no address bit meets a type bit.
    bytes[bar.registerOffset] = bar.typeBits
  }

  /// The register's address, decoded or not.
  public func address(of bar: BAR) -> UInt64 {
    let low = UInt64(get(bar.registerOffset)) & ~(bar.size - 1)
    return bar.kind == .memory64 ? low | UInt64(get(bar.registerOffset + 4)) << 32 : low
  }

  /// Whether the command register lets the function answer in the register's range.
  public func decodes(_ bar: BAR) -> Bool { command.contains(bar.kind == .ports ? .decodesPorts : .decodesMemory) }

  /// Where the function answers for the register; `nil` when decoding is off or the range would run past the address space.
  public func decodedRange(of bar: BAR) -> BusRange? {
    guard decodes(bar) else { return nil }
    return BusRange(base: address(of: bar), length: bar.size)
  }
}
