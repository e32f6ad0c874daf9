internal import Bus
internal import KVM

/// Doorbells in the kernel: a guest's write signals the event without leaving the kernel.
final class KVMDoorbells: DoorbellRegistrar {
  private let machine: VirtualMachine

  init(machine: VirtualMachine) { self.machine = machine }

  func attach(event: Int32, at address: UInt64) throws { try machine.attachDoorbell(.init(address: address), event: event) }

  func detach(event: Int32, at address: UInt64) throws { try machine.detachDoorbell(.init(address: address), event: event) }
}
