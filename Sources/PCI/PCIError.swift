/// Why a PCI device cannot be built or plugged in.
public enum PCIError: Error, Equatable, Sendable, CustomStringConvertible {
  /// A base address register that PCI 3.0 section 6.2.5 does not allow, or one that is there already.
  case badBAR(index: Int, reason: String)
  /// A capability does not fit in the 192 bytes behind the header, or has an impossible shape.
  case badCapability(id: UInt8, reason: String)
  /// The slot is not 1...31 or has a device already.
  case slotTaken(Int)
  /// All 31 slots have devices.
  case noFreeSlot
  /// There is no device in the slot.
  case emptySlot(Int)
  /// The machine's address window has no room for a register's range.
  case windowFull(kind: BAR.Kind, size: UInt64)
  /// The number of MSI-X vectors is not 1...2048.
  case badVectorCount(Int)
  /// A saved state is not one of this kind of device.
  case badState(String)

  /// What is wrong, and the remedy.
  public var description: String {
    switch self {
    case .badBAR(let index, let reason): "base address register \(index) is impossible: \(reason)"
    case .badCapability(let id, let reason): "PCI capability 0x\(String(id, radix: 16)) is impossible: \(reason)"
    case .slotTaken(let slot): "PCI slot \(slot) cannot be used; choose a free one of 1...31"
    case .noFreeSlot: "all 31 PCI slots have devices; remove a device"
    case .emptySlot(let slot): "PCI slot \(slot) has no device"
    case .windowFull(let kind, let size):
      "no room for \(size) bytes in the machine's \(kind) window for PCI; give the machine fewer devices"
    case .badVectorCount(let count): "\(count) MSI-X vectors are not possible; 1...2048 are"
    case .badState(let reason): "the saved state of a PCI device cannot be used: \(reason)"
    }
  }
}
