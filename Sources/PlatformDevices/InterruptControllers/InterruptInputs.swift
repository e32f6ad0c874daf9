public import Interrupts
public import Platform
internal import Synchronization

/// Carries the events of devices to the inputs of an IOAPIC and a pair of PICs outside the kernel, on the thread of an event loop.
///
/// A `LevelInterrupt`'s line falls when the guest acknowledges it; the devices on it are told, and raise it again if they still have a reason.
public final class InterruptInputs: Sendable {
  private let loop: EventLoop
  private let ioapic: IOAPIC
  private let pic: PIC?
  private let timerPin: Int
  private let levels = Mutex<[Int: [LevelInterrupt]]>([:])

  /// Makes the wiring; `connect` adds the devices.
  ///
  /// - Parameters:
  ///   - loop: Its thread raises the lines.
  ///   - ioapic: Gets all lines, 0...23.
  ///   - pic: Gets the ISA lines, 0...15, too.
  ///   - timerPin: The IOAPIC's input that line 0, the timer's, is wired to; a PC uses 2, and its tables tell the guest so.
  public init(loop: EventLoop, ioapic: IOAPIC, pic: PIC?, timerPin: Int = 2) {
    self.loop = loop
    self.ioapic = ioapic
    self.pic = pic
    self.timerPin = timerPin
    ioapic.onAcknowledge { [weak self] in self?.acknowledged($0) }
    pic?.onAcknowledge { [weak self] in self?.acknowledged($0) }
  }

  /// Connects an edge-triggered line: each signal is one edge.
  public func connect(_ interrupt: EdgeInterrupt, line: Int) throws(SystemError) {
    let (ioapic, pic, pin) = (ioapic, pic, pin(line))
    let trigger = interrupt.trigger
    try loop.add(trigger.number) { _ in
      guard trigger.drain() > 0 else { return }
      ioapic.pulse(pin)
      pic?.pulse(line)
    }
  }

  /// Connects a level-triggered line other than the timer's; several devices may share it.
  public func connect(_ interrupt: LevelInterrupt, line: Int) throws(SystemError) {
    levels.withLock { $0[line, default: []].append(interrupt) }
    let (ioapic, pic) = (ioapic, pic)
    try loop.add(interrupt.trigger.number) { _ in
      guard interrupt.trigger.drain() > 0 else { return }
      ioapic.setLine(line, asserted: true)
      pic?.setLine(line, asserted: true)
    }
  }

  private func pin(_ line: Int) -> Int { line == 0 ? timerPin : line }

  private func acknowledged(_ line: Int) {
    let interrupts = levels.withLock { $0[line] ?? [] }
    guard !interrupts.isEmpty else { return }
    ioapic.setLine(line, asserted: false)
    pic?.setLine(line, asserted: false)
    for interrupt in interrupts { interrupt.resample.signal() }
  }
}
