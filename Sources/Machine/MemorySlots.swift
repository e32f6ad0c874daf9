internal import GuestMemory
internal import KVM

/// Gives guest memory to the kernel, slot by slot.
struct MemorySlots {
  /// A read-only image in the host's memory and its place in the guest's.
  struct Firmware {
    let hostAddress: UInt64
    let address: UInt64
    let size: UInt64
  }

  let machine: VirtualMachine

  /// Maps RAM, and a firmware image if there is one, all at once: the first slot after the interrupt controller waits for the kernel.
  func map(_ memory: GuestMemory, firmware: Firmware?) throws(KVMError) {
    for (index, region) in memory.regions.enumerated() {
      try machine.setMemory(
        slot: UInt32(index), guestAddress: region.base.rawValue, size: region.size, hostAddress: region.hostAddress)
    }
    guard let firmware else { return }
    try machine.setMemory(
      slot: UInt32(memory.regions.count), guestAddress: firmware.address, size: firmware.size, hostAddress: firmware.hostAddress,
      flags: MemorySlots.readOnly)
  }

  /// KVM_MEM_READONLY: the guest's stores leave the guest as memory exits, and find nothing.
  private static let readOnly: UInt32 = 1 << 1
}
