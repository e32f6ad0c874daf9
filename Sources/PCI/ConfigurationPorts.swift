public import Bus
internal import Synchronization

/// Configuration mechanism 1: an address port and a data port (PCI 3.0, section 3.2.2.3.2). Belongs at ports 0xcf8...0xcff.
///
/// Port 0xcf9 between them is the chipset's reset register, by which kernels and ACPI reboot the machine.
public final class ConfigurationPorts: BusDevice {
  /// The first of the eight ports.
  public static let basePort: UInt64 = 0xcf8
  /// The number of ports.
  public static let portCount: UInt64 = 8

  private struct State {
    var address: UInt32 = 0
    var reset: UInt8 = 0
  }

  private let root: PCIRoot
  private let onReset: @Sendable () -> Void
  private let state = Mutex(State())

  /// Makes the ports of a bus.
  ///
  /// - Parameter onReset: Called on a vCPU's thread when the guest writes the reset register's bit 2; must return soon.
  public init(root: PCIRoot, onReset: @escaping @Sendable () -> Void) {
    self.root = root
    self.onReset = onReset
  }

  /// Answers a load; what does not exist reads as all ones.
  public func read(offset: UInt64, width: Int) -> UInt64 {
    switch (offset, width) {
    case (0, 4): return UInt64(state.withLock { $0.address })
    case (1, 1): return UInt64(state.withLock { $0.reset })
    case (4..<8, _):
      guard width <= 4, let target = target(of: offset, width) else { return .max }
      return UInt64(root.read(slot: target.slot, function: target.function, offset: target.register, width: width))
    default: return .max
    }
  }

  /// Takes a store; what does not exist is ignored.
  public func write(offset: UInt64, width: Int, value: UInt64) {
    switch (offset, width) {
    // Bits 24...30 are reserved and the lowest two always zero. Only an access of four bytes reaches the latch.
    case (0, 4): state.withLock { $0.address = UInt32(truncatingIfNeeded: value) & 0x80ff_fffc }
    case (1, 1): writeReset(UInt8(truncatingIfNeeded: value))
    case (4..<8, _):
      guard let target = target(of: offset, width) else { return }
      root.write(
        slot: target.slot, function: target.function, offset: target.register, width: width, value: UInt32(truncatingIfNeeded: value))
    default: break
    }
  }

  /// Bit 1 says how thorough a reset is wanted, bit 2 starts it. Every reset is a full one here: there is no lesser one that a guest
  /// without firmware could survive.
  private func writeReset(_ value: UInt8) {
    state.withLock { $0.reset = value & 0x0a }
    if value & 0x04 != 0 { onReset() }
  }

  private func target(of offset: UInt64, _ width: Int) -> (slot: Int, function: Int, register: Int)? {
    let address = state.withLock { $0.address }
    // Enabled, and bus 0.
    guard address & 0x80ff_0000 == 0x8000_0000, offset + UInt64(width) <= 8 else { return nil }
    return (Int(address >> 11 & 31), Int(address >> 8 & 7), Int(address & 0xfc) + Int(offset & 3))
  }
}
