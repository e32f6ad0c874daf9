internal import Interrupts
internal import KVM
internal import Logging
internal import Platform

/// Connects the devices' interrupt events to the machine's interrupt controllers.
protocol InterruptWiring: Sendable {
  /// One signal of the event, one interrupt on an ISA line.
  func connect(_ interrupt: EdgeInterrupt, line: UInt32) throws
  /// A level on a line that several devices may share.
  func connect(_ interrupt: LevelInterrupt, line: UInt32) throws
}

/// Interrupt controllers in the kernel: events become irqfds, and the VMM is not involved.
///
/// Each when it is first used: the kernel takes milliseconds to let go of an irqfd, which would delay the end of every machine.
struct KernelInterruptWiring: InterruptWiring {
  let machine: VirtualMachine
  let logger: Logger

  func connect(_ interrupt: EdgeInterrupt, line: UInt32) {
    attachAtFirstSignal(interrupt.onFirstSignal, line: line, trigger: interrupt.trigger.number, resample: nil)
  }

  func connect(_ interrupt: LevelInterrupt, line: UInt32) {
    attachAtFirstSignal(interrupt.onFirstSignal, line: line, trigger: interrupt.trigger.number, resample: interrupt.resample.number)
  }

  private func attachAtFirstSignal(
    _ onFirstSignal: (@escaping @Sendable () -> Void) -> Void, line: UInt32, trigger: Int32, resample: Int32?
  ) {
    onFirstSignal { [machine, logger] in
      do { try machine.attachInterrupt(line: line, trigger: trigger, resample: resample) } catch {
        logger.error("interrupt line \(line) is not connected: \(error)")
      }
    }
  }
}
