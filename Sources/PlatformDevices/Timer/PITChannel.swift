/// One of the three counters of an 8254 (data sheet 231164); times are nanoseconds, given by the caller.
struct PITChannel {
  /// The counters' clock in hertz.
  static let frequency: UInt64 = 1_193_182
  private static let second: UInt64 = 1_000_000_000

  private enum Access: UInt8 { case latch, low, high, lowThenHigh }

  private var mode: UInt8 = 0
  private var access = Access.lowThenHigh
  private var isBCD = false
  /// The number of ticks from load to zero, 1...65536.
  private(set) var reload: UInt64 = 0x10000
  /// When counting began; `nil` before the first load, and while the gate holds the counter.
  private var start: UInt64?
  /// Ticks counted before the gate held the counter.
  private var counted: UInt64 = 0
  private(set) var gate: Bool
  private var isLoaded = false
  private var lowByte: UInt8?
  private var latched: [UInt8] = []
  private var latchedStatus: UInt8?
  private var readsHigh = false

  init(gate: Bool) { self.gate = gate }

  static func ticks(nanoseconds: UInt64) -> UInt64 {
    let (seconds, rest) = nanoseconds.quotientAndRemainder(dividingBy: second)
    return seconds &* frequency &+ rest * frequency / second
  }

  /// The time of the first nanosecond by which so many ticks have passed.
  static func nanoseconds(ticks: UInt64) -> UInt64 {
    let (seconds, rest) = ticks.quotientAndRemainder(dividingBy: frequency)
    return seconds &* second &+ (rest * second + frequency - 1) / frequency
  }

  /// Ticks since the counter was loaded or triggered.
  private func elapsed(_ now: UInt64) -> UInt64 {
    guard let start else { return counted }
    return counted &+ PITChannel.ticks(nanoseconds: now >= start ? now - start : 0)
  }

  private var modulus: UInt64 { isBCD ? 10_000 : 0x10000 }
  private var isPeriodic: Bool { mode == 2 || mode == 3 }
  private var isTriggeredByGate: Bool { mode == 1 || mode == 5 }
  private var isRunning: Bool { start != nil || counted > 0 }

  /// The output (data sheet, "mode definitions").
  func output(now: UInt64) -> Bool {
    guard isLoaded, isRunning else { return mode != 0 }
    let ticks = elapsed(now)
    switch mode {
    case 0, 1: return ticks >= reload
    case 2: return !gate || ticks % reload != reload - 1
    case 3: return !gate || ticks % reload < (reload + 1) / 2
    default: return ticks != reload
    }
  }

  /// What the counter shows.
  private func count(now: UInt64) -> UInt16 {
    let ticks = isLoaded && isRunning ? elapsed(now) : 0
    let value: UInt64
    switch mode {
    case 2: value = reload - ticks % reload
    // Counts down by two, twice in a period.
    case 3: value = reload - (2 * (ticks % reload)) % reload
    // Counts on through zero.
    default: value = reload + modulus - ticks % modulus
    }
    return isBCD ? PITChannel.toBCD(value % 10_000) : UInt16(truncatingIfNeeded: value)
  }

  private static func toBCD(_ value: UInt64) -> UInt16 {
    UInt16((value / 1000 % 10) << 12 | (value / 100 % 10) << 8 | (value / 10 % 10) << 4 | value % 10)
  }

  private static func fromBCD(_ value: UInt16) -> UInt64 {
    UInt64(value >> 12) * 1000 + UInt64(value >> 8 & 15) * 100 + UInt64(value >> 4 & 15) * 10 + UInt64(value & 15)
  }

  /// Takes a control word for this counter.
  ///
  /// - Returns: Whether the counter works otherwise from now on; not where its count was only to be kept.
  mutating func control(_ value: UInt8, now: UInt64) -> Bool {
    guard let access = Access(rawValue: value >> 4 & 3), access != .latch else {
      latchCount(now: now)
      return false
    }
    self.access = access
    // Modes 6 and 7 are 2 and 3.
    mode = value >> 1 & 7
    if mode > 5 { mode -= 4 }
    isBCD = value & 1 != 0
    (start, counted, isLoaded) = (nil, 0, false)
    (lowByte, readsHigh, latched, latchedStatus) = (nil, false, [], nil)
    return true
  }

  /// Keeps the count for the next reads; a count that is kept already stays.
  mutating func latchCount(now: UInt64) {
    guard latched.isEmpty else { return }
    let value = count(now: now)
    switch access {
    case .low: latched = [UInt8(truncatingIfNeeded: value)]
    case .high: latched = [UInt8(value >> 8)]
    default: latched = [UInt8(truncatingIfNeeded: value), UInt8(value >> 8)]
    }
  }

  /// Keeps the status for the next read (data sheet, "read-back command").
  mutating func latchStatus(now: UInt64) {
    guard latchedStatus == nil else { return }
    latchedStatus = (output(now: now) ? 0x80 : 0) | (isLoaded ? 0 : 0x40) | access.rawValue << 4 | mode << 1 | (isBCD ? 1 : 0)
  }

  mutating func read(now: UInt64) -> UInt8 {
    if let status = latchedStatus.take() { return status }
    if !latched.isEmpty { return latched.removeFirst() }
    let value = count(now: now)
    switch access {
    case .low: return UInt8(truncatingIfNeeded: value)
    case .high: return UInt8(value >> 8)
    default:
      defer { readsHigh.toggle() }
      return readsHigh ? UInt8(value >> 8) : UInt8(truncatingIfNeeded: value)
    }
  }

  /// Writes a byte of the count.
  ///
  /// - Returns: Whether the counter was loaded with it.
  mutating func write(_ value: UInt8, now: UInt64) -> Bool {
    switch access {
    case .low: load(UInt16(value), now: now)
    case .high: load(UInt16(value) << 8, now: now)
    default:
      guard let low = lowByte.take() else {
        lowByte = value
        return false
      }
      load(UInt16(value) << 8 | UInt16(low), now: now)
    }
    return true
  }

  private mutating func load(_ value: UInt16, now: UInt64) {
    let ticks = isBCD ? PITChannel.fromBCD(value) : UInt64(value)
    reload = ticks > 0 ? ticks : modulus
    isLoaded = true
    counted = 0
    start = gate && !isTriggeredByGate ? now : nil
  }

  /// Sets the gate, which holds or triggers the counter (data sheet, table "gate pin operations").
  mutating func setGate(_ level: Bool, now: UInt64) {
    defer { gate = level }
    guard level != gate, isLoaded else { return }
    if level {
      if mode != 0 && mode != 4 { counted = 0 }
      start = now
    } else if !isTriggeredByGate {
      counted = elapsed(now)
      start = nil
    }
  }

  /// When the output rises next after `now`; `nil` when it does not without something being done.
  func nextRise(after now: UInt64) -> UInt64? {
    guard isLoaded, let start else { return nil }
    let ticks = elapsed(now)
    let target: UInt64
    if isPeriodic {
      target = (ticks / reload + 1) * reload
    } else {
      guard ticks < reload else { return nil }
      target = reload
    }
    return start &+ PITChannel.nanoseconds(ticks: target &- counted)
  }
}
