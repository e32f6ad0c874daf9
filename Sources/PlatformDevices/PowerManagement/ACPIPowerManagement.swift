public import Bus
public import Interrupts
public import Platform
internal import Synchronization

/// The ACPI fixed hardware of a PC: event and control registers, and the power management timer (ACPI 6.5, section 4.8).
///
/// ACPI mode is always on. A guest powers off by writing the sleep type `softOffType` with SLP_EN.
public final class ACPIPowerManagement: BusDevice {
  /// The first port; Machine and the FADT must agree on it.
  public static let base: UInt64 = 0x600
  /// The number of ports.
  public static let length: UInt64 = 12
  /// Where PM1a_EVT_BLK begins, from `base`: status and enable, two bytes each.
  public static let eventOffset: UInt64 = 0
  /// Where PM1a_CNT_BLK begins, from `base`: two bytes.
  public static let controlOffset: UInt64 = 4
  /// Where PM_TMR_BLK begins, from `base`: four bytes; the timer has 32 bits (TMR_VAL_EXT in the FADT).
  public static let timerOffset: UInt64 = 8
  /// The value of SLP_TYPa that powers off, for the DSDT's `_S5` package.
  public static let softOffType: UInt8 = 5
  /// The system control interrupt's line, level-triggered, for the FADT.
  public static let line: UInt32 = 9

  private enum Event {
    static let powerButton: UInt16 = 1 << 8
    /// What can be enabled: global lock, power button, sleep button, clock.
    static let canBeEnabled: UInt16 = 1 << 0 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 10
  }
  private enum Control {
    static let acpiMode: UInt16 = 1 << 0
    static let sleepEnable: UInt16 = 1 << 13
    static let kept: UInt16 = 7 << 10 | 1 << 1
  }
  private static let timerFrequency: UInt64 = 3_579_545

  private struct State {
    var status: UInt16 = 0
    var enable: UInt16 = 0
    var control: UInt16 = 0
    var isPending: Bool { status & enable != 0 }
  }

  private let state = Mutex(State())
  private let interrupt: LevelInterrupt?
  private let onPowerOff: @Sendable () -> Void
  private let nanoseconds: @Sendable () -> UInt64
  private let start: UInt64

  /// Makes the registers.
  ///
  /// - Parameters:
  ///   - interrupt: The system control interrupt; Machine calls `resampled` when its `resample` event is signalled.
  ///   - clock: A time in nanoseconds that never goes back, for the timer.
  ///   - onPowerOff: Called on a vCPU's thread each time the guest asks to be powered off; it must not block.
  public init(
    interrupt: LevelInterrupt? = nil, clock: @escaping @Sendable () -> UInt64 = monotonicNanoseconds,
    onPowerOff: @escaping @Sendable () -> Void
  ) {
    self.interrupt = interrupt
    self.onPowerOff = onPowerOff
    nanoseconds = clock
    start = clock()
  }

  /// Presses the power button: a guest that listens begins to shut down.
  ///
  /// - Returns: Whether the guest has enabled the button; if not, nothing will happen before it does.
  @discardableResult
  public func pressPowerButton() -> Bool {
    let pending = state.withLock { state in
      state.status |= Event.powerButton
      return state.isPending
    }
    if pending { interrupt?.signal() }
    return pending
  }

  /// Raises the line again if a reason is left after the guest acknowledged the interrupt.
  public func resampled() {
    if state.withLock({ $0.isPending }) { interrupt?.signal() }
  }

  /// Answers a load of any width and alignment.
  public func read(offset: UInt64, width: Int) -> UInt64 {
    let (low, high) = state.withLock { state in
      (
        UInt64(state.status) | UInt64(state.enable) << 16 | UInt64(state.control | Control.acpiMode) << 32,
        UInt64(timerValue())
      )
    }
    var value: UInt64 = 0
    for index in 0..<UInt64(min(max(width, 0), 8)) {
      let (place, overflow) = offset.addingReportingOverflow(index)
      let byte: UInt64
      switch place {
      case _ where overflow: byte = 0xff
      case 0..<8: byte = low >> (8 * place) & 0xff
      case 8..<12: byte = high >> (8 * (place - 8)) & 0xff
      default: byte = 0xff
      }
      value |= byte << (8 * index)
    }
    return value
  }

  /// Takes a store of any width and alignment.
  public func write(offset: UInt64, width: Int, value: UInt64) {
    var powersOff = false
    let raises = state.withLock { state in
      let wasPending = state.isPending
      for index in 0..<UInt64(min(max(width, 0), 8)) {
        let (place, overflow) = offset.addingReportingOverflow(index)
        guard !overflow, place < 8 else { continue }
        let shift = UInt16(8 * (place & 1))
        let byte = (value >> (8 * index)) & 0xff
        let bits = UInt16(byte) << shift
        let mask: UInt16 = 0xff << shift
        switch place / 2 {
        // Writing a one clears the bit.
        case 0: state.status &= ~bits
        case 1: state.enable = (state.enable & ~mask | bits) & Event.canBeEnabled
        case 2:
          state.control = (state.control & ~mask | bits) & Control.kept
          let sleepType = UInt8(state.control >> 10 & 7)
          if bits & Control.sleepEnable != 0, sleepType == ACPIPowerManagement.softOffType { powersOff = true }
        default: break
        }
      }
      return state.isPending && !wasPending
    }
    if raises { interrupt?.signal() }
    if powersOff { onPowerOff() }
  }

  private func timerValue() -> UInt32 {
    let elapsed = nanoseconds() &- start
    let (seconds, rest) = elapsed.quotientAndRemainder(dividingBy: 1_000_000_000)
    let ticks = seconds &* ACPIPowerManagement.timerFrequency &+ rest &* ACPIPowerManagement.timerFrequency / 1_000_000_000
    return UInt32(truncatingIfNeeded: ticks)
  }
}
