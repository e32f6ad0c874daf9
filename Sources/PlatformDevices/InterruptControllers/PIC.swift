public import Bus
internal import Synchronization

/// A PC's two 8259A interrupt controllers, the second behind input 2 of the first, for machines that emulate them outside the kernel.
///
/// A bus device knows its offset only, so each of the three port ranges has its own: `first`, `second` and `edgeLevel`.
public final class PIC: Sendable {
  /// Where the first chip's ports are.
  public static let firstBase: UInt64 = 0x20
  /// Where the second chip's ports are.
  public static let secondBase: UInt64 = 0xa0
  /// The number of ports of each chip.
  public static let length: UInt64 = 2
  /// Where the edge/level control registers are.
  public static let edgeLevelBase: UInt64 = 0x4d0
  /// The number of edge/level control registers.
  public static let edgeLevelLength: UInt64 = 2
  /// The number of inputs.
  public static let lines = 16

  private static let cascadeInput = 2

  private struct State {
    // Timer, keyboard and cascade are always edge-triggered; so are clock and numeric coprocessor.
    var first = PICChip(levelTriggerable: 0xf8)
    var second = PICChip(levelTriggerable: 0xde)
    var output = false
    var onAcknowledge: (@Sendable (Int) -> Void)?
  }

  private let state = Mutex(State())
  private let onOutput: @Sendable (Bool) -> Void

  /// Makes both chips; all inputs are masked.
  ///
  /// - Parameter onOutput: Told, on any thread and with the PIC's lock held, when the wish to interrupt the first processor begins and
  ///   ends. The machine then calls `acknowledge` when that processor takes an external interrupt.
  public init(onOutput: @escaping @Sendable (Bool) -> Void) { self.onOutput = onOutput }

  /// Sets who is told, on the acknowledging thread and outside all locks, that the service of a level-triggered input ended.
  public func onAcknowledge(_ handler: @escaping @Sendable (Int) -> Void) { state.withLock { $0.onAcknowledge = handler } }

  /// The first chip's ports.
  public var first: any BusDevice { Ports(pic: self, part: .first) }
  /// The second chip's ports.
  public var second: any BusDevice { Ports(pic: self, part: .second) }
  /// The edge/level control registers.
  public var edgeLevel: any BusDevice { Ports(pic: self, part: .edgeLevel) }

  /// Sets the level of an input; an input that does not exist is ignored.
  public func setLine(_ line: Int, asserted: Bool) {
    guard (0..<PIC.lines).contains(line), line != PIC.cascadeInput else { return }
    update { state in
      if line < 8 { state.first.setLine(line, asserted: asserted) } else { state.second.setLine(line - 8, asserted: asserted) }
    }
  }

  /// Raises an input and lowers it again: one edge.
  public func pulse(_ line: Int) {
    setLine(line, asserted: true)
    setLine(line, asserted: false)
  }

  /// Whether the first processor is to be interrupted.
  public var wantsInterrupt: Bool { state.withLock { $0.output } }

  /// The processor takes the interrupt: says which vector. The vector of input 7 when the reason has gone meanwhile (data sheet, "spurious").
  public func acknowledge() -> UInt8 {
    update { state in
      guard let input = state.first.pending(cascade: 1 << PIC.cascadeInput) else { return state.first.vector(7) }
      state.first.acknowledge(input)
      guard input == PIC.cascadeInput else { return state.first.vector(input) }
      guard let inner = state.second.pending() else { return state.second.vector(7) }
      state.second.acknowledge(inner)
      // The second chip's output falls when it is acknowledged, and rises again for the next reason.
      state.first.setLine(PIC.cascadeInput, asserted: false)
      return state.second.vector(inner)
    }
  }

  private func update<Result>(_ body: (inout State) -> Result) -> Result {
    state.withLock { state in
      let result = body(&state)
      let cascaded = state.second.pending() != nil
      state.first.setLine(PIC.cascadeInput, asserted: cascaded)
      let output = state.first.pending(cascade: 1 << PIC.cascadeInput) != nil
      if output != state.output {
        state.output = output
        onOutput(output)
      }
      return result
    }
  }

  private enum Part { case first, second, edgeLevel }

  /// One range of ports.
  private final class Ports: ByteRegisters {
    private let pic: PIC
    private let part: Part

    init(pic: PIC, part: Part) {
      self.pic = pic
      self.part = part
    }

    func readByte(_ offset: UInt64) -> UInt8 {
      guard offset < 2 else { return 0xff }
      return pic.update { state in
        switch part {
        case .first: state.first.read(offset)
        case .second: state.second.read(offset)
        case .edgeLevel: offset == 0 ? state.first.levelTriggered : state.second.levelTriggered
        }
      }
    }

    func writeByte(_ offset: UInt64, _ value: UInt8) {
      guard offset < 2 else { return }
      let (ended, handler) = pic.update { state -> (Int?, (@Sendable (Int) -> Void)?) in
        let ended: Int?
        switch (part, offset) {
        case (.first, _): ended = state.first.write(offset, value)
        case (.second, _): ended = state.second.write(offset, value).map { $0 + 8 }
        case (.edgeLevel, 0): (state.first.levelTriggered, ended) = (value, nil)
        case (.edgeLevel, _): (state.second.levelTriggered, ended) = (value, nil)
        }
        return (ended, state.onAcknowledge)
      }
      if let ended { handler?(ended) }
    }
  }
}
