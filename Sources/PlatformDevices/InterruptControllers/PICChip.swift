/// One 8259A (data sheet 231468): eight inputs, fixed priorities with rotation, edge- or level-triggered input by input.
struct PICChip {
  private var requests: UInt8 = 0
  private var inService: UInt8 = 0
  private var mask: UInt8 = 0xff
  private var lines: UInt8 = 0
  private var vectorBase: UInt8 = 0
  /// The input of lowest priority; the next one has the highest.
  private var lowest: UInt8 = 7
  /// Which initialization word comes next; 0 outside the sequence.
  private var nextWord = 0
  private var expectsFourthWord = false
  private var isSingle = false
  private var automaticEnd = false
  private var rotatesAtAutomaticEnd = false
  private var specialMask = false
  private var fullyNested = false
  private var readsInService = false
  private var polls = false
  /// The level-triggered inputs (ELCR).
  var levelTriggered: UInt8 = 0 { didSet { levelTriggered &= levelTriggerable } }
  private let levelTriggerable: UInt8

  /// Makes a chip; `levelTriggerable` are the inputs that ELCR can set.
  init(levelTriggerable: UInt8) { self.levelTriggerable = levelTriggerable }

  /// Sets an input.
  mutating func setLine(_ input: Int, asserted: Bool) {
    let bit: UInt8 = 1 << UInt8(input & 7)
    if levelTriggered & bit != 0 {
      requests = asserted ? requests | bit : requests & ~bit
    } else if asserted, lines & bit == 0 {
      requests |= bit
    }
    lines = asserted ? lines | bit : lines & ~bit
  }

  /// The input to interrupt for, unless one of the same or a higher priority is being served.
  ///
  /// - Parameter cascade: The inputs, as bits, that other chips are on, which may interrupt again while being served in the fully nested mode.
  func pending(cascade: UInt8 = 0) -> Int? {
    let candidates = requests & ~mask
    guard let best = highest(candidates) else { return nil }
    var busy = specialMask ? inService & ~mask : inService
    if fullyNested { busy &= ~cascade }
    guard let served = highest(busy) else { return best }
    return rank(best) < rank(served) ? best : nil
  }

  private func rank(_ input: Int) -> UInt8 { (UInt8(input & 7) &- lowest &- 1) & 7 }

  private func highest(_ bits: UInt8) -> Int? { (0..<8).filter { bits >> UInt8($0) & 1 == 1 }.min { rank($0) < rank($1) } }

  /// Acknowledges an input: it is being served now.
  mutating func acknowledge(_ input: Int) {
    let bit: UInt8 = 1 << UInt8(input & 7)
    if levelTriggered & bit == 0 { requests &= ~bit }
    if automaticEnd {
      if rotatesAtAutomaticEnd { lowest = UInt8(input & 7) }
    } else {
      inService |= bit
    }
  }

  func vector(_ input: Int) -> UInt8 { vectorBase | UInt8(input & 7) }

  /// Reads port 0 (command) or 1 (mask).
  mutating func read(_ port: UInt64) -> UInt8 {
    if polls {
      polls = false
      guard let input = pending() else { return 0 }
      acknowledge(input)
      return 0x80 | UInt8(input)
    }
    if port == 1 { return mask }
    return readsInService ? inService : requests
  }

  /// Writes port 0 (command) or 1 (mask).
  ///
  /// - Returns: The level-triggered input whose service ended with it.
  mutating func write(_ port: UInt64, _ value: UInt8) -> Int? {
    if port == 1 {
      writeData(value)
    } else if value & 0x10 != 0 {
      beginInitialization(value)
    } else if value & 0x08 != 0 {
      // Operation command word 3.
      if value & 0x02 != 0 { readsInService = value & 0x01 != 0 }
      if value & 0x40 != 0 { specialMask = value & 0x20 != 0 }
      polls = value & 0x04 != 0
    } else if let ended = writeEnd(value), levelTriggered >> UInt8(ended & 7) & 1 == 1 {
      return ended
    }
    return nil
  }

  /// Initialization command word 1.
  private mutating func beginInitialization(_ value: UInt8) {
    let lines = lines
    let levels = levelTriggered
    self = PICChip(levelTriggerable: levelTriggerable)
    mask = 0
    levelTriggered = levels
    self.lines = lines
    requests = lines & levels
    isSingle = value & 0x02 != 0
    expectsFourthWord = value & 0x01 != 0
    nextWord = 2
  }

  private mutating func writeData(_ value: UInt8) {
    switch nextWord {
    case 2:
      vectorBase = value & 0xf8
      nextWord = isSingle ? (expectsFourthWord ? 4 : 0) : 3
    case 3:
      // Which inputs are cascaded is fixed in a PC.
      nextWord = expectsFourthWord ? 4 : 0
    case 4:
      automaticEnd = value & 0x02 != 0
      fullyNested = value & 0x10 != 0
      nextWord = 0
    default: mask = value
    }
  }

  /// Operation command word 2: ends of interrupts and rotation.
  ///
  /// - Returns: The input whose service ended.
  private mutating func writeEnd(_ value: UInt8) -> Int? {
    let named = value & 7
    switch value >> 5 {
    case 0: rotatesAtAutomaticEnd = false
    case 4: rotatesAtAutomaticEnd = true
    case 1, 5:
      guard let input = highest(inService) else { return nil }
      inService &= ~(1 << UInt8(input))
      if value >> 5 == 5 { lowest = UInt8(input) }
      return input
    case 3, 7:
      let wasServed = inService >> named & 1 == 1
      inService &= ~(1 << named)
      if value >> 5 == 7 { lowest = named }
      return wasServed ? Int(named) : nil
    case 6: lowest = named
    default: break
    }
    return nil
  }
}
