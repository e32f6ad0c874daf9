internal import GuestMemory
internal import KVM

/// Gives guest memory to the kernel, slot by slot.
struct MemorySlots {
  /// What the guest finds in its memory beside RAM: a place in this process's memory and one in the guest's.
  struct Extra {
    let hostAddress: UInt64
    let address: UInt64
    let size: UInt64
    let isReadOnly: Bool
  }

  let machine: VirtualMachine

  /// Maps RAM and all else at once: the first slot after the interrupt controller waits for the kernel.
  func map(_ memory: GuestMemory, _ extras: [Extra]) throws(KVMError) {
    var slot: UInt32 = 0
    for region in memory.regions {
      try machine.setMemory(slot: slot, guestAddress: region.base.rawValue, size: region.size, hostAddress: region.hostAddress)
      slot += 1
    }
    for extra in extras {
      try machine.setMemory(
        slot: slot, guestAddress: extra.address, size: extra.size, hostAddress: extra.hostAddress,
        flags: extra.isReadOnly ? MemorySlots.readOnly : 0)
      slot += 1
    }
  }

  /// KVM_MEM_READONLY: the guest's stores leave the guest as memory exits.
  private static let readOnly: UInt32 = 1 << 1
}
