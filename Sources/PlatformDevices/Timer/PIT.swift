public import Bus
public import Interrupts
public import Platform
internal import Synchronization

/// A PC's interval timer (8254), for machines that emulate it outside the kernel: counter 0 interrupts, counter 2 is for measuring.
public final class PIT: BusDevice, ByteRegisters {
  /// The first port.
  public static let base: UInt64 = 0x40
  /// The number of ports.
  public static let length: UInt64 = 4
  /// The interrupt line on a PC.
  public static let line: UInt32 = 0

  /// The shortest time between two interrupts, in nanoseconds, so that a guest cannot keep the host busy with them.
  static let shortestPeriod: UInt64 = 200_000

  private struct State {
    var channels = [PITChannel(gate: true), PITChannel(gate: true), PITChannel(gate: false)]
    var speaker = false
    var refresh = false
    var lastInterrupt: UInt64 = 0
  }

  private let state = Mutex(State())
  private let timer: InterruptTimer?
  private let interrupt: EdgeInterrupt
  private let now: @Sendable () -> UInt64

  /// Makes a timer that does not run.
  ///
  /// - Parameters:
  ///   - interrupt: Line 0.
  ///   - loop: Where the end of a period is waited for; without one there are no interrupts.
  ///   - clock: A time in nanoseconds that never goes back.
  public init(
    interrupt: EdgeInterrupt, loop: EventLoop? = nil, clock: @escaping @Sendable () -> UInt64 = monotonicNanoseconds
  ) throws(SystemError) {
    self.interrupt = interrupt
    now = clock
    if let loop { timer = try InterruptTimer(loop: loop) } else { timer = nil }
    try timer?.onExpiry { [weak self] in self?.timerExpired() }
  }

  /// Port 0x61, which gates and shows counter 2; the keyboard controller's range includes it.
  public var portB: any BusDevice { PortB(pit: self) }

  package func readByte(_ offset: UInt64) -> UInt8 {
    guard offset < 3 else { return 0xff }
    return state.withLock { $0.channels[Int(offset)].read(now: now()) }
  }

  package func writeByte(_ offset: UInt64, _ value: UInt8) {
    let now = now()
    state.withLock { state in
      switch offset {
      case 0..<3:
        if state.channels[Int(offset)].write(value, now: now), offset == 0 { schedule(&state, now: now) }
      case 3 where value >> 6 == 3: PIT.readBack(value, &state, now: now)
      case 3:
        // Where nothing changes, an interrupt that is due goes on its way.
        if state.channels[Int(value >> 6)].control(value, now: now), value >> 6 == 0 { schedule(&state, now: now) }
      default: break
      }
    }
  }

  /// The read-back command: keeps counts and statuses of several counters at once.
  private static func readBack(_ value: UInt8, _ state: inout State, now: UInt64) {
    for index in state.channels.indices where value >> UInt8(index + 1) & 1 == 1 {
      if value & 0x20 == 0 { state.channels[index].latchCount(now: now) }
      if value & 0x10 == 0 { state.channels[index].latchStatus(now: now) }
    }
  }

  private func schedule(_ state: inout State, now: UInt64) {
    guard let rise = state.channels[0].nextRise(after: now) else {
      timer?.stop()
      return
    }
    let earliest = state.lastInterrupt &+ PIT.shortestPeriod
    timer?.start(after: max(rise, earliest) &- now)
  }

  private func timerExpired() {
    let now = now()
    state.withLock { state in
      state.lastInterrupt = now
      interrupt.signal()
      schedule(&state, now: now)
    }
  }

  /// Port 0x61: bit 0 gates counter 2, bit 1 opens the speaker, bit 4 toggles with the memory's refresh, bit 5 is counter 2's output.
  private final class PortB: ByteRegisters {
    private let pit: PIT
    init(pit: PIT) { self.pit = pit }

    func readByte(_ offset: UInt64) -> UInt8 {
      guard offset == 0 else { return 0xff }
      let now = pit.now()
      return pit.state.withLock { state in
        state.refresh.toggle()
        let output: UInt8 = state.channels[2].output(now: now) ? 0x20 : 0
        return output | (state.refresh ? 0x10 : 0) | (state.speaker ? 2 : 0) | (state.channels[2].gate ? 1 : 0)
      }
    }

    func writeByte(_ offset: UInt64, _ value: UInt8) {
      guard offset == 0 else { return }
      let now = pit.now()
      pit.state.withLock { state in
        state.speaker = value & 2 != 0
        state.channels[2].setGate(value & 1 != 0, now: now)
      }
    }
  }
}
