internal import Bus
internal import Synchronization

/// Slot 0: the bridge between processor and bus. It has nothing but an identity, by which kernels decide that there is a PCI bus.
final class HostBridge: PCIDevice {
  let name = "host-bridge"
  let bars: [BAR] = []
  private let space: Mutex<PCIConfigurationSpace>

  init() {
    // The numbers of Intel's 82441FX, as the original has them: Linux binds no driver to it, and its only quirk for it is a note that
    // peer-to-peer transfers are slow. Bridges with memory-mapped access (Q35: 29c0) attract the AGP driver.
    space = Mutex(PCIConfigurationSpace(identity: PCIIdentity(vendor: 0x8086, device: 0x1237, classCode: 0x06_0000)))
  }

  func connect(_ host: any BARHost) {}

  func busDevice(forBAR index: Int) -> any BusDevice { NoDevice() }

  func readConfiguration(offset: Int, width: Int) -> UInt32 { space.withLock { $0.read(offset: offset, width: width) } }

  func writeConfiguration(offset: Int, width: Int, value: UInt32) {
    space.withLock { _ = $0.write(offset: offset, width: width, value: value) }
  }

  /// Stands for a range that the bridge does not have.
  private final class NoDevice: BusDevice {
    func read(offset: UInt64, width: Int) -> UInt64 { NoDevice.allOnes }
    func write(offset: UInt64, width: Int, value: UInt64) {}
  }
}
