internal import Boot
internal import Bus
internal import KVM
internal import Logging
internal import PCI
internal import Platform

/// The PC around the devices: the kernel's virtual machine with its interrupt controllers, and the buses.
///
/// Which devices sit on it is decided in `DeviceSet`.
struct Board {
  let machine: VirtualMachine
  let ports = Bus()
  let memoryBus = Bus()
  let routing: InterruptRouting
  let wiring: any InterruptWiring
  let doorbells: KVMDoorbells
  let control: RunControl
  let loop: EventLoop
  /// The IOAPIC's input that the interval timer is wired to; `nil` without a timer.
  let timerInput: UInt32?
  /// Whether there is a pair of 8259 interrupt controllers.
  let hasPIC: Bool
  /// What answers at port 0x61 where the timer is not in the kernel.
  let portB: (any BusDevice)?
  /// For interrupts that a controller in the VMM must know the end of.
  let endOfInterrupt: (@Sendable (UInt8) -> Void)?

  /// Makes the virtual machine and its interrupt controllers: what must come before everything else.
  init(system: KVMSystem, configuration: VMConfiguration, control: RunControl, loop: EventLoop, logger: Logger) throws {
    machine = try system.makeVirtualMachine()
    try machine.setTaskStateAddress(X86Layout.tss)
    try machine.setIdentityMapAddress(X86Layout.identityMap)
    switch configuration.interruptController {
    case .kernel:
      try machine.createInterruptController()
      try machine.createTimer()
      routing = InterruptRouting(machine: machine, fixed: InterruptRouting.pcRoutes)
      wiring = KernelInterruptWiring(machine: machine)
      (timerInput, hasPIC, portB, endOfInterrupt) = (0, true, nil, nil)
    case .split:
      try machine.enableSplitInterruptController(pins: UInt64(X86Layout.ioapicInputs))
      routing = InterruptRouting(machine: machine, fixed: [])
      let split = try SplitInterruptWiring(machine: machine, routing: routing, memory: memoryBus, ports: ports, loop: loop, logger: logger)
      wiring = split
      (timerInput, hasPIC, portB) = (SplitInterruptWiring.timerInput, false, split.portB)
      endOfInterrupt = { split.endOfInterrupt($0) }
    }
    doorbells = KVMDoorbells(machine: machine)
    self.control = control
    self.loop = loop
  }
}
