public import Bus
public import GuestMemory
public import Interrupts
public import Platform

/// What a virtio device on PCI needs of the machine around it; the same in the VMM's process and in a device's own.
public struct VirtioPCIHost: Sendable {
  /// The guest's RAM.
  public var memory: GuestMemory
  /// Attaches the queues' events to the guest's notification writes; without one each notification takes an exit.
  public var doorbells: (any DoorbellRegistrar)?
  /// Makes the interrupts of MSI-X vectors.
  public var messages: any MessageInterruptAllocator
  /// Where the interrupt lines' resample events are watched; any loop that runs while the guest does.
  public var loop: EventLoop

  /// Gathers what a device needs.
  public init(
    memory: GuestMemory, doorbells: (any DoorbellRegistrar)?, messages: any MessageInterruptAllocator,
    loop: EventLoop
  ) {
    self.memory = memory
    self.doorbells = doorbells
    self.messages = messages
    self.loop = loop
  }
}
