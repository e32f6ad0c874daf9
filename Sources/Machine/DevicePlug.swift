internal import BasicDevices
internal import GuestMemory
internal import Interrupts
internal import Logging
internal import PCI
internal import Sandbox
internal import Virtio

/// What makes device processes, and under which policies.
struct DeviceProcesses: Sendable {
  let launcher: Launcher
  let policies: Launcher.Policies
}

/// Puts devices into PCI slots, those of other processes as those of this one.
struct DevicePlug {
  /// A device on its way into its slot.
  struct Begun {
    fileprivate enum Place {
      case here(VirtioPCIDevice)
      case elsewhere(LaunchedDevice)
    }

    fileprivate let place: Place
    fileprivate let interrupt: LevelInterrupt
  }

  let root: PCIRoot
  let board: Board
  let memory: GuestMemory

  /// Builds a device here, or has a process begun that does.
  func begin(_ plan: PlannedDevice, _ processes: DeviceProcesses?, logger: Logger) throws -> Begun {
    let interrupt = try LevelInterrupt()
    guard let processes else {
      let host = VirtioPCIHost(memory: memory, doorbells: board.doorbells, messages: board.routing, loop: board.loop)
      let device = try VirtioPCIDevice(
        try plan.blueprint.build(logger: logger), name: plan.name, host: host, interrupt: interrupt,
        offersPackedRing: plan.offersPackedRing, logger: logger)
      return Begun(place: .here(device), interrupt: interrupt)
    }
    let device = try processes.launcher.launch(
      plan.blueprint, name: plan.name, offersPackedRing: plan.offersPackedRing, memory: memory, line: interrupt,
      policies: processes.policies, logger: logger)
    return Begun(place: .elsewhere(device), interrupt: interrupt)
  }

  /// Puts the device into the next slot, so that slots follow from the order of the calls.
  func finish(_ begun: Begun) throws -> any PluggedDevice {
    let device: any PluggedDevice =
      switch begun.place {
      case .here(let device): device
      case .elsewhere(let launched): try launched.proxy(MachineServices(doorbells: board.doorbells, messages: board.routing))
      }
    let slot = try root.add(device)
    if let pin = root.interruptPin(of: device) {
      try board.wiring.connect(begun.interrupt, line: root.routing.gsi(slot: slot, pin: pin))
    }
    return device
  }
}
