internal import Interrupts
internal import KVM
internal import Platform

/// Connects the devices' interrupt events to the machine's interrupt controllers.
protocol InterruptWiring: Sendable {
  /// One signal of the event, one interrupt on an ISA line.
  func connect(_ interrupt: EdgeInterrupt, line: UInt32) throws
  /// A level on a line that several devices may share.
  func connect(_ interrupt: LevelInterrupt, line: UInt32) throws
}

/// Interrupt controllers in the kernel: events become irqfds, and the VMM is not involved.
struct KernelInterruptWiring: InterruptWiring {
  let machine: VirtualMachine

  func connect(_ interrupt: EdgeInterrupt, line: UInt32) throws {
    try machine.attachInterrupt(line: line, trigger: interrupt.trigger.number)
  }

  func connect(_ interrupt: LevelInterrupt, line: UInt32) throws {
    try machine.attachInterrupt(line: line, trigger: interrupt.trigger.number, resample: interrupt.resample.number)
  }
}
