/// The registers of an MC146818A and its memory; times are nanoseconds since 1970-01-01T00:00Z, given by the caller.
struct ClockRegisters {
  private enum Index {
    static let registerA: UInt8 = 0x0a
    static let registerB: UInt8 = 0x0b
    static let registerC: UInt8 = 0x0c
    static let registerD: UInt8 = 0x0d
    static let century: UInt8 = RealTimeClock.centuryIndex
  }
  /// Bits of register B; the three enable bits are those of the flags in register C.
  private enum Control {
    static let stopped: UInt8 = 0x80
    static let periodic: UInt8 = 0x40
    static let alarm: UInt8 = 0x20
    static let update: UInt8 = 0x10
    static let binary: UInt8 = 0x04
    static let hours24: UInt8 = 0x02
  }
  private static let second: Int64 = 1_000_000_000
  /// Register A says that an update is near for so long before each second (data sheet: at least 244 microseconds).
  private static let updateNotice: Int64 = 244_000

  /// Dates go this many seconds from 1970 in both directions, so that nanoseconds fit 64 bits: from 1684 to 2255.
  private static let farthest: Int64 = 9_000_000_000

  private var memory = [UInt8](repeating: 0, count: 128)
  /// The guest's time is the host's plus this.
  private var offset: Int64 = 0
  private var flags: UInt8 = 0
  /// The guest's time up to which `flags` says what happened.
  private var seen: Int64?

  init() {
    memory[Int(Index.registerA)] = 0x26
    memory[Int(Index.registerB)] = Control.hours24
    memory[Int(Index.registerD)] = 0x80
  }

  private var registerA: UInt8 { memory[Int(Index.registerA)] }
  private var registerB: UInt8 { memory[Int(Index.registerB)] }
  private var dividerIsReset: Bool { registerA & 0x60 == 0x60 }
  private var isStopped: Bool { registerB & Control.stopped != 0 || dividerIsReset }
  private var timeFields: CalendarFields {
    CalendarFields(binary: registerB & Control.binary != 0, hours24: registerB & Control.hours24 != 0)
  }

  /// Whether the line is active: a flag is set whose interrupt is enabled.
  var interruptPending: Bool { flags & registerB & 0x70 != 0 }

  /// Stores the sizes of memory where firmware looks for them.
  mutating func setMemorySizes(below4GiB: UInt64, above4GiB: UInt64) {
    let megabyte: UInt64 = 1 << 20
    store(640, at: 0x15, bytes: 2)
    let extended = min((max(below4GiB, megabyte) - megabyte) >> 10, 0xffff)
    store(extended, at: 0x17, bytes: 2)
    store(extended, at: 0x30, bytes: 2)
    store(min((max(below4GiB, 16 * megabyte) - 16 * megabyte) >> 16, 0xffff), at: 0x34, bytes: 2)
    store(min(above4GiB >> 16, 0xff_ffff), at: 0x5b, bytes: 3)
  }

  private mutating func store(_ value: UInt64, at index: Int, bytes: Int) {
    for byte in 0..<bytes { memory[index + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * byte)) }
  }

  /// Reads the register or the byte of memory at `index`, after what is due by now has happened: whoever asks for the next event afterwards
  /// would miss it.
  mutating func read(_ index: UInt8, now: Int64) -> UInt8 {
    advance(now: now)
    switch index & 0x7f {
    case Index.registerA:
      let fraction = (now &+ offset).floorRemainder(by: ClockRegisters.second)
      let updating = !isStopped && fraction >= ClockRegisters.second - ClockRegisters.updateNotice
      return registerA | (updating ? 0x80 : 0)
    case Index.registerC:
      defer { flags = 0 }
      return flags | (interruptPending ? 0x80 : 0)
    case let index:
      if CalendarFields.indices.contains(index), !isStopped { showTime(now) }
      return memory[Int(index)]
    }
  }

  /// Writes the register or the byte of memory at `index`.
  mutating func write(_ index: UInt8, _ value: UInt8, now: Int64) {
    advance(now: now)
    let wasStopped = isStopped
    let dividerWasReset = dividerIsReset
    if !wasStopped { showTime(now) }
    switch index & 0x7f {
    case Index.registerA: memory[Int(Index.registerA)] = value & 0x7f
    case Index.registerB:
      // Stopping the clock takes back the enabling of the update interrupt.
      memory[Int(Index.registerB)] = value & (value & Control.stopped != 0 ? ~Control.update : 0xff)
      // The time is shown anew in the new format.
      if !wasStopped && !isStopped { showTime(now) }
    case Index.registerC, Index.registerD: break
    case let index:
      memory[Int(index)] = value
      if CalendarFields.indices.contains(index), !isStopped { takeTime(now: now, fraction: nil) }
    }
    if wasStopped && !isStopped {
      // After a reset of the divider the first second is half as long (data sheet, "divider stages").
      takeTime(now: now, fraction: dividerWasReset ? ClockRegisters.second / 2 : nil)
    }
  }

  /// Copies the time into its registers.
  private mutating func showTime(_ now: Int64) {
    let seconds = (now &+ offset).floorDivided(by: ClockRegisters.second)
    timeFields.encode(CalendarDate(secondsSince1970: seconds), into: &memory)
  }

  /// Makes what the time registers say the guest's time; the part of a second stays as it is unless `fraction` is given.
  private mutating func takeTime(now: Int64, fraction: Int64?) {
    let seconds = min(max(timeFields.decode(memory).secondsSince1970, -ClockRegisters.farthest), ClockRegisters.farthest)
    let fraction = fraction ?? (now &+ offset).floorRemainder(by: ClockRegisters.second)
    offset = seconds &* ClockRegisters.second &+ fraction &- now
    seen = now &+ offset
  }

  /// Sets the flags of what happened since the last call.
  mutating func advance(now: Int64) {
    let time = now &+ offset
    let seen = self.seen ?? time
    self.seen = time
    // Nothing happens while the clock stands, or when the host's was set back.
    guard !isStopped, time > seen else { return }
    if time.floorDivided(by: ClockRegisters.second) != seen.floorDivided(by: ClockRegisters.second) { flags |= Control.update }
    if let next = nextAlarm(after: seen), next <= time { flags |= Control.alarm }
    if let period, time / period != seen / period { flags |= Control.periodic }
  }

  /// How long until an enabled interrupt is due; `nil` when none is, or the line is active and the guest has not taken notice yet.
  func nanosecondsToNextEvent(now: Int64) -> UInt64? {
    guard !isStopped, !interruptPending else { return nil }
    let time = now &+ offset
    var next: Int64?
    func consider(_ moment: Int64?) { if let moment { next = min(next ?? moment, moment) } }
    if registerB & Control.update != 0 { consider((time.floorDivided(by: ClockRegisters.second) &+ 1) &* ClockRegisters.second) }
    if registerB & Control.alarm != 0 { consider(nextAlarm(after: time)) }
    if registerB & Control.periodic != 0, let period { consider((time / period &+ 1) &* period) }
    return next.map { UInt64(max($0 &- time, 1)) }
  }

  /// The periodic interrupt's period (data sheet, table 5); `nil` when it is switched off.
  private var period: Int64? {
    let rate = registerA & 0x0f
    guard rate > 0 else { return nil }
    // Rates 1 and 2 repeat 8 and 9, at a 32,768 Hz time base.
    let shift = rate < 3 ? rate + 6 : rate - 1
    return (ClockRegisters.second << Int64(shift)) / 32_768
  }

  /// The next second whose time of day is the alarm's; `nil` when there is none.
  private func nextAlarm(after time: Int64) -> Int64? {
    let alarm = timeFields.decodeAlarm(memory)
    let today = time.floorDivided(by: ClockRegisters.second)
    var candidate = today &+ 1
    // Each step skips the rest of an hour, of a minute, or one second, so that a day takes at most so many.
    for _ in 0..<(24 + 60 + 60 + 3) {
      let second = candidate.floorRemainder(by: 86_400)
      if let hour = alarm.hour, hour != second / 3600 {
        candidate &+= 3600 - second % 3600
      } else if let minute = alarm.minute, minute != second / 60 % 60 {
        candidate &+= 60 - second % 60
      } else if let wanted = alarm.second, wanted != second % 60 {
        candidate &+= 1
      } else {
        return candidate &* ClockRegisters.second
      }
    }
    return nil
  }
}
