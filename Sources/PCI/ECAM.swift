public import Bus

/// The memory-mapped access to configuration space (PCI Express base specification, section 7.2.2): 4 KiB a function, 1 MiB a bus.
public final class ECAM: BusDevice {
  /// The bytes of a bus; the device may be registered for more buses, which are empty.
  public static let bytesPerBus: UInt64 = 1 << 20

  private let root: PCIRoot

  /// Makes the access to a bus; the machine registers it and tells the guest where (ACPI's MCFG).
  public init(root: PCIRoot) { self.root = root }

  /// Answers a load; what does not exist reads as all ones.
  public func read(offset: UInt64, width: Int) -> UInt64 {
    guard offset < ECAM.bytesPerBus, width <= 4 else { return .max }
    return UInt64(root.read(slot: Int(offset >> 15), function: Int(offset >> 12 & 7), offset: Int(offset & 0xfff), width: width))
  }

  /// Takes a store; what does not exist is ignored.
  public func write(offset: UInt64, width: Int, value: UInt64) {
    guard offset < ECAM.bytesPerBus else { return }
    root.write(
      slot: Int(offset >> 15), function: Int(offset >> 12 & 7), offset: Int(offset & 0xfff), width: width,
      value: UInt32(truncatingIfNeeded: value))
  }
}
