internal import Boot
internal import Bus
internal import Interrupts
internal import KVM
internal import Logging
internal import Platform
internal import PlatformDevices
internal import Synchronization

/// Local APICs in the kernel, the IOAPIC in the VMM (`--split-irqchip`).
///
/// MSI-X goes through the kernel as ever. The lines of ISA devices and INTx come to the event loop's thread, which raises the IOAPIC's inputs.
/// There is no PIC: the tables say so, and kernels of this century do without.
final class SplitInterruptWiring: InterruptWiring {
  private let ioapic: IOAPIC
  private let inputs: InterruptInputs

  /// Makes the IOAPIC and registers it on the bus.
  init(machine: VirtualMachine, routing: InterruptRouting, memory: Bus, loop: EventLoop, logger: Logger) throws {
    ioapic = IOAPIC(host: KernelMessages(machine: machine, routing: routing, logger: logger))
    inputs = InterruptInputs(loop: loop, ioapic: ioapic, pic: nil, timerPin: Int(SplitInterruptWiring.timerInput))
    try memory.insert(ioapic, base: X86Layout.ioapic, length: IOAPIC.length)
  }

  /// The IOAPIC's input of the interval timer.
  static let timerInput: UInt32 = 2

  func connect(_ interrupt: EdgeInterrupt, line: UInt32) throws { try inputs.connect(interrupt, line: Int(line)) }

  func connect(_ interrupt: LevelInterrupt, line: UInt32) throws { try inputs.connect(interrupt, line: Int(line)) }

  /// A processor has acknowledged a level-triggered interrupt.
  func endOfInterrupt(_ vector: UInt8) { ioapic.endOfInterrupt(vector: vector) }

  /// The IOAPIC's way to the processors, and the kernel's knowledge of which acknowledgements to report.
  private final class KernelMessages: IOAPICHost {
    private let machine: VirtualMachine
    private let routing: InterruptRouting
    private let logger: Logger
    private let routes = Mutex<[UInt32: InterruptMessage]>([:])

    init(machine: VirtualMachine, routing: InterruptRouting, logger: Logger) {
      self.machine = machine
      self.routing = routing
      self.logger = logger
    }

    func deliver(_ message: InterruptMessage) {
      // A message that no processor takes is the guest's doing: it programmed a destination that does not exist.
      _ = try? machine.sendMessage(address: message.address, data: message.data)
    }

    func routeChanged(pin: Int, message: InterruptMessage?, isLevelTriggered: Bool) {
      let table = routes.withLock { routes in
        routes[UInt32(pin)] = isLevelTriggered ? message : nil
        return routes
      }
      do {
        try routing.setFixed(table.map { .message(line: $0.key, address: $0.value.address, data: $0.value.data) })
      } catch { logger.error("interrupt routes: \(error)") }
    }
  }
}
