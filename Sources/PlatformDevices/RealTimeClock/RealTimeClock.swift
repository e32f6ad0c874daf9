public import Bus
public import Interrupts
public import Platform
internal import Synchronization

/// A PC's clock with battery-backed memory (MC146818A data sheet) behind an index port and a data port, 0x70 and 0x71.
///
/// It shows the host's time in UTC; a guest that sets it moves its own clock only. The alarm, the periodic and the update interrupt are
/// given on the line, as the chip does.
public final class RealTimeClock: BusDevice, ByteRegisters {
  /// The first port.
  public static let base: UInt64 = 0x70
  /// The number of ports.
  public static let length: UInt64 = 2
  /// The interrupt line on a PC.
  public static let line: UInt32 = 8
  /// The index of the century's byte, for the FADT.
  public static let centuryIndex: UInt8 = 0x32

  private struct State {
    var index: UInt8 = 0
    var registers: ClockRegisters
  }

  private let state: Mutex<State>
  private let timer: InterruptTimer?
  private let now: @Sendable () -> Int64
  private let interrupt: EdgeInterrupt?

  /// Makes a clock.
  ///
  /// - Parameters:
  ///   - memoryBelow4GiB: The guest's RAM in bytes below the hole, for the memory size registers that old firmware reads.
  ///   - memoryAbove4GiB: The guest's RAM in bytes above 4 GiB.
  ///   - interrupt: The line; without one the clock never interrupts.
  ///   - loop: Where alarms are waited for; without one there are none.
  ///   - now: The host's time, in nanoseconds since 1970-01-01T00:00Z.
  public init(
    memoryBelow4GiB: UInt64, memoryAbove4GiB: UInt64, interrupt: EdgeInterrupt? = nil, loop: EventLoop? = nil,
    now: @escaping @Sendable () -> Int64 = realTimeNanoseconds
  ) throws(SystemError) {
    var registers = ClockRegisters()
    registers.setMemorySizes(below4GiB: memoryBelow4GiB, above4GiB: memoryAbove4GiB)
    state = Mutex(State(registers: registers))
    self.interrupt = interrupt
    self.now = now
    if let loop { timer = try InterruptTimer(loop: loop) } else { timer = nil }
    try timer?.onExpiry { [weak self] in self?.timerExpired() }
  }

  package func readByte(_ offset: UInt64) -> UInt8 {
    guard offset == 1 else { return 0xff }
    return access { $0.registers.read($0.index, now: now()) }
  }

  package func writeByte(_ offset: UInt64, _ value: UInt8) {
    switch offset {
    // Bit 7 masks the non-maskable interrupt, of which there is none.
    case 0: state.withLock { $0.index = value & 0x7f }
    case 1: access { $0.registers.write($0.index, value, now: now()) }
    default: break
    }
  }

  /// Runs `body`, then sets the timer for the next event and interrupts if one is pending.
  private func access<Result>(_ body: (inout State) -> Result) -> Result {
    state.withLock { state in
      let before = state.registers.interruptPending
      let result = body(&state)
      if let interrupt {
        if state.registers.interruptPending && !before { interrupt.signal() }
        schedule(&state)
      }
      return result
    }
  }

  private func schedule(_ state: inout State) {
    guard let delay = state.registers.nanosecondsToNextEvent(now: now()) else {
      timer?.stop()
      return
    }
    timer?.start(after: delay)
  }

  private func timerExpired() {
    access { $0.registers.advance(now: now()) }
  }
}
