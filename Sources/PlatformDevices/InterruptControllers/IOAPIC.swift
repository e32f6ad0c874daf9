public import Bus
public import Interrupts
internal import Synchronization

/// What an IOAPIC needs of the machine around it. Calls come on any thread, in order, with the IOAPIC's lock held: they must not call it.
public protocol IOAPICHost: AnyObject, Sendable {
  /// Sends an interrupt to the processors.
  func deliver(_ message: InterruptMessage)

  /// An input's message has changed.
  ///
  /// For a kernel that holds the local APICs: it needs the messages of level-triggered inputs to report their acknowledgement, and with
  /// those of edge-triggered inputs it can deliver them without the IOAPIC.
  ///
  /// - Parameters:
  ///   - pin: The input, 0...23.
  ///   - message: What the input sends; `nil` when it must send nothing. A masked level-triggered input keeps its message, because an
  ///     interrupt sent before may still be acknowledged; do not attach anything to it that sends without asking the IOAPIC.
  ///   - isLevelTriggered: Whether an acknowledgement is awaited after each interrupt.
  func routeChanged(pin: Int, message: InterruptMessage?, isLevelTriggered: Bool)
}

/// An IOAPIC with 24 inputs (82093AA data sheet, with the EOI register of its successors), for machines that emulate it outside the kernel.
public final class IOAPIC: BusDevice {
  /// The usual guest-physical address.
  public static let base: UInt64 = 0xfec0_0000
  /// The number of bytes that the device takes.
  public static let length: UInt64 = 0x1000
  /// The number of inputs.
  public static let pins = 24

  private enum Offset {
    static let select: UInt64 = 0x00
    static let window: UInt64 = 0x10
    static let endOfInterrupt: UInt64 = 0x40
  }
  private enum Register {
    static let identifier: UInt8 = 0
    static let version: UInt8 = 1
    static let arbitration: UInt8 = 2
    static let firstEntry: UInt8 = 0x10
  }
  /// The first version with an EOI register.
  private static let version: UInt32 = 0x20

  private struct State {
    var select: UInt8 = 0
    var identifier: UInt32 = 0
    var entries = [RedirectionEntry](repeating: RedirectionEntry(), count: IOAPIC.pins)
    var isAsserted = [Bool](repeating: false, count: IOAPIC.pins)
    var onAcknowledge: (@Sendable (Int) -> Void)?
  }

  private let state = Mutex(State())
  private let host: any IOAPICHost

  /// Makes an IOAPIC; all inputs are masked.
  public init(host: any IOAPICHost) { self.host = host }

  /// Sets who is told, on the acknowledging thread and outside all locks, that a level-triggered input was acknowledged.
  public func onAcknowledge(_ handler: @escaping @Sendable (Int) -> Void) { state.withLock { $0.onAcknowledge = handler } }

  /// Sets the level of an input; an input that does not exist is ignored.
  ///
  /// A rising edge of an edge-triggered input is delivered once, and lost while masked. An asserted level-triggered input is delivered
  /// whenever it is neither masked nor awaiting its acknowledgement.
  public func setLine(_ pin: Int, asserted: Bool) {
    guard (0..<IOAPIC.pins).contains(pin) else { return }
    state.withLock { state in
      let rises = asserted && !state.isAsserted[pin]
      state.isAsserted[pin] = asserted
      if state.entries[pin].isLevelTriggered {
        deliverLevel(pin, &state)
      } else if rises, !state.entries[pin].isMasked {
        host.deliver(state.entries[pin].message)
      }
    }
  }

  /// Raises an input and lowers it again: one edge.
  public func pulse(_ pin: Int) {
    setLine(pin, asserted: true)
    setLine(pin, asserted: false)
  }

  /// A processor has acknowledged an interrupt (KVM_EXIT_IOAPIC_EOI, or a write to the EOI register).
  public func endOfInterrupt(vector: UInt8) {
    let (acknowledged, handler) = state.withLock { state -> ([Int], (@Sendable (Int) -> Void)?) in
      let pins = (0..<IOAPIC.pins).filter { state.entries[$0].isAwaitingAcknowledgement && state.entries[$0].vector == vector }
      for pin in pins { state.entries[pin].isAwaitingAcknowledgement = false }
      return (pins, state.onAcknowledge)
    }
    if let handler { for pin in acknowledged { handler(pin) } }
    // Those that are still asserted come again.
    state.withLock { state in for pin in acknowledged { deliverLevel(pin, &state) } }
  }

  private func deliverLevel(_ pin: Int, _ state: inout State) {
    let entry = state.entries[pin]
    guard entry.isLevelTriggered, state.isAsserted[pin], !entry.isMasked, !entry.isAwaitingAcknowledgement else { return }
    state.entries[pin].isAwaitingAcknowledgement = true
    host.deliver(entry.message)
  }

  /// Answers a load; all ones between the registers.
  public func read(offset: UInt64, width: Int) -> UInt64 {
    state.withLock { state in
      switch offset {
      case Offset.select: UInt64(state.select)
      case Offset.window: UInt64(IOAPIC.readRegister(state))
      case Offset.endOfInterrupt: 0
      default: IOAPIC.allOnes
      }
    }
  }

  private static func readRegister(_ state: State) -> UInt32 {
    switch state.select {
    case Register.identifier, Register.arbitration: return state.identifier
    case Register.version: return UInt32(pins - 1) << 16 | version
    case let index:
      guard let pin = pin(index) else { return 0xffff_ffff }
      return UInt32(truncatingIfNeeded: index & 1 == 0 ? state.entries[pin].rawValue : state.entries[pin].rawValue >> 32)
    }
  }

  /// The input whose entry the register belongs to.
  private static func pin(_ index: UInt8) -> Int? {
    guard index >= Register.firstEntry else { return nil }
    let pin = Int(index - Register.firstEntry) / 2
    return pin < pins ? pin : nil
  }

  /// Takes a store; ignored between the registers.
  public func write(offset: UInt64, width: Int, value: UInt64) {
    switch offset {
    case Offset.select: state.withLock { $0.select = UInt8(truncatingIfNeeded: value) }
    case Offset.window: state.withLock { writeRegister(UInt32(truncatingIfNeeded: value), &$0) }
    case Offset.endOfInterrupt: endOfInterrupt(vector: UInt8(truncatingIfNeeded: value))
    default: break
    }
  }

  private func writeRegister(_ value: UInt32, _ state: inout State) {
    if state.select == Register.identifier { state.identifier = value & 0x0f00_0000 }
    guard let pin = IOAPIC.pin(state.select) else { return }
    let before = state.entries[pin]
    state.entries[pin].write(high: state.select & 1 == 1, value)
    let after = state.entries[pin]
    if IOAPIC.route(before) != IOAPIC.route(after) || before.isLevelTriggered != after.isLevelTriggered {
      host.routeChanged(pin: pin, message: IOAPIC.route(after), isLevelTriggered: after.isLevelTriggered)
    }
    deliverLevel(pin, &state)
  }

  /// The message that the kernel may know of; vectors below 16 are none.
  private static func route(_ entry: RedirectionEntry) -> InterruptMessage? {
    if entry.vector < 16 { return nil }
    return entry.isMasked && !entry.isLevelTriggered ? nil : entry.message
  }
}
