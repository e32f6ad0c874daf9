internal import Boot
internal import Bus
internal import Interrupts
internal import KVM
internal import Logging
internal import PCI
internal import Platform
internal import PlatformDevices

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
  /// What answers at port 0x61: the interval timer's gate and speaker.
  let portB: any BusDevice
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
      routing = InterruptRouting(machine: machine, fixed: InterruptRouting.pcRoutes)
      wiring = KernelInterruptWiring(machine: machine, logger: logger)
      (timerInput, hasPIC, endOfInterrupt) = (0, true, nil)
    case .split:
      try machine.enableSplitInterruptController(pins: UInt64(X86Layout.ioapicInputs))
      routing = InterruptRouting(machine: machine, fixed: [])
      let split = try SplitInterruptWiring(machine: machine, routing: routing, memory: memoryBus, loop: loop, logger: logger)
      wiring = split
      (timerInput, hasPIC) = (SplitInterruptWiring.timerInput, false)
      endOfInterrupt = { split.endOfInterrupt($0) }
    }
    portB = try Self.addTimer(ports: ports, wiring: wiring, loop: loop)
    doorbells = KVMDoorbells(machine: machine)
    self.control = control
    self.loop = loop
  }

  /// The interval timer: here, for the kernel's own takes milliseconds to end, and guests of today use it for an instant, if at all.
  private static func addTimer(ports: Bus, wiring: any InterruptWiring, loop: EventLoop) throws -> any BusDevice {
    let interrupt = try EdgeInterrupt()
    let timer = try PIT(interrupt: interrupt, loop: loop)
    try wiring.connect(interrupt, line: PIT.line)
    try ports.insert(timer, base: PIT.base, length: PIT.length)
    return timer.portB
  }
}
