internal import Boot
internal import Interrupts
internal import Platform
internal import PlatformDevices

/// Builds the devices that a PC has besides PCI and serial ports.
struct PlatformDeviceList {
  let configuration: VMConfiguration
  let map: X86AddressMap

  /// Builds them and puts them on the buses.
  ///
  /// - Returns: The machine's power management, with its button.
  func attach(to board: Board) throws -> ACPIPowerManagement {
    let control = board.control
    let power = try makePowerManagement(board)
    let panic = PanicPort { event in if event == .panicked { control.end(.guestPanic) } }
    try board.ports.insert(panic, base: PanicPort.base, length: PanicPort.length)
    if configuration.hasRTC {
      let interrupt = try EdgeInterrupt()
      try board.wiring.connect(interrupt, line: RealTimeClock.line)
      let clock = try RealTimeClock(
        memoryBelow4GiB: map.lowRAM.upperBound - map.lowRAM.lowerBound, memoryAbove4GiB: map.highRAM.upperBound - map.highRAM.lowerBound,
        interrupt: interrupt, loop: board.loop)
      try board.ports.insert(clock, base: RealTimeClock.base, length: RealTimeClock.length)
    }
    if configuration.hasI8042 {
      try board.ports.insert(I8042(portB: board.portB, onReset: { control.end(.reset) }), base: I8042.base, length: I8042.length)
    } else {
      try board.ports.insert(board.portB, base: 0x61, length: 1)
    }
    return power
  }

  private func makePowerManagement(_ board: Board) throws -> ACPIPowerManagement {
    let control = board.control
    let interrupt = try LevelInterrupt()
    let power = ACPIPowerManagement(interrupt: interrupt, onPowerOff: { control.end(.poweredOff) })
    try board.wiring.connect(interrupt, line: ACPIPowerManagement.line)
    try board.loop.add(interrupt.resample.number) { _ in
      interrupt.resample.drain()
      power.resampled()
    }
    try board.ports.insert(power, base: ACPIPowerManagement.base, length: ACPIPowerManagement.length)
    return power
  }
}
