import Interrupts
import Platform
import PlatformDevices
import Testing

private let second: Int64 = 1_000_000_000

/// A driver's view of a clock whose host time the test sets.
private struct Clock {
  let time: ManualClock
  let device: RealTimeClock
  let line: EdgeInterrupt

  init(secondsSince1970 seconds: Int64, below: UInt64 = 0, above: UInt64 = 0, withLine: Bool = false) throws {
    let time = ManualClock(seconds * second)
    self.time = time
    line = try EdgeInterrupt()
    device = try RealTimeClock(memoryBelow4GiB: below, memoryAbove4GiB: above, interrupt: withLine ? line : nil) { time.now }
  }

  subscript(_ index: UInt8) -> UInt8 {
    get {
      device.write(offset: 0, width: 1, value: UInt64(index))
      return UInt8(truncatingIfNeeded: device.read(offset: 1, width: 1))
    }
    nonmutating set {
      device.write(offset: 0, width: 1, value: UInt64(index))
      device.write(offset: 1, width: 1, value: UInt64(newValue))
    }
  }

  /// Century, year, month, day, hour, minute, second.
  var date: [UInt8] { [0x32, 9, 8, 7, 4, 2, 0].map { self[$0] } }
}

@Suite struct RealTimeClockTests {
  @Test(
    arguments: [
      (0, [0x19, 0x70, 0x01, 0x01, 0x00, 0x00, 0x00], 5),
      (951_827_696, [0x20, 0x00, 0x02, 0x29, 0x12, 0x34, 0x56], 3),
      (4_107_542_399, [0x21, 0x00, 0x02, 0x28, 0x23, 0x59, 0x59], 1),
      (4_107_542_400, [0x21, 0x00, 0x03, 0x01, 0x00, 0x00, 0x00], 2),
      (1_709_164_799, [0x20, 0x24, 0x02, 0x28, 0x23, 0x59, 0x59], 4),
      (1_709_164_800, [0x20, 0x24, 0x02, 0x29, 0x00, 0x00, 0x00], 5),
      (1_735_689_599, [0x20, 0x24, 0x12, 0x31, 0x23, 0x59, 0x59], 3),
      (-1, [0x19, 0x69, 0x12, 0x31, 0x23, 0x59, 0x59], 4),
    ] as [(Int64, [UInt8], UInt8)])
  func showsTheHostsTimeAroundLeapYears(seconds: Int64, date: [UInt8], weekday: UInt8) throws {
    let clock = try Clock(secondsSince1970: seconds)
    #expect(clock.date == date)
    #expect(clock[6] == weekday)
  }

  @Test func everyDayOfFourCenturiesFollowsTheCalendar() throws {
    var (year, month, day) = (1970, 1, 1)
    let clock = try Clock(secondsSince1970: 0)
    clock[0x0b] = 0x06
    for _ in 0..<80_000 {
      #expect(clock.date.prefix(4) == [UInt8(year / 100), UInt8(year % 100), UInt8(month), UInt8(day)])
      let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
      let length = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
      day += 1
      if day > length { (day, month) = (1, month + 1) }
      if month > 12 { (month, year) = (1, year + 1) }
      clock.time.advance(86_400 * second)
    }
  }

  @Test func formatFollowsRegisterB() throws {
    let clock = try Clock(secondsSince1970: 1_735_689_599)
    clock[0x0b] = 0x06
    #expect(clock.date == [20, 24, 12, 31, 23, 59, 59])
    clock[0x0b] = 0x04
    #expect(clock[4] == 0x80 | 11)
    clock[0x0b] = 0x00
    #expect(clock[4] == 0x80 | 0x11)
    clock.time.advance(second)
    #expect(clock[4] == 0x12, "midnight is 12 in the morning")
  }

  @Test func settingTheTimeAsLinuxDoesMovesTheClock() throws {
    let clock = try Clock(secondsSince1970: 1_000_000_000)
    // SET, reset of the divider, the fields, SET off, divider on.
    clock[0x0b] = 0x82
    clock[0x0a] = 0x76
    for (index, value) in [(0, 0x30), (2, 0x15), (4, 0x06), (7, 0x29), (8, 0x02), (9, 0x28), (0x32, 0x20)] as [(UInt8, UInt8)] {
      clock[index] = value
    }
    clock.time.advance(100 * second)
    #expect(clock[0] == 0x30, "the clock stands")
    clock[0x0b] = 0x02
    clock[0x0a] = 0x26
    #expect(clock.date == [0x20, 0x28, 0x02, 0x29, 0x06, 0x15, 0x30])
    clock.time.advance(second / 2)
    #expect(clock[0] == 0x31, "the first second is half as long")
    clock.time.advance(86_400 * second)
    #expect(clock[8] == 0x03 && clock[7] == 0x01)
  }

  @Test func anAnnouncedUpdateFollows() throws {
    let clock = try Clock(secondsSince1970: 59)
    #expect(clock[0x0a] & 0x80 == 0)
    clock.time.advance(second - 200_000)
    #expect(clock[0x0a] & 0x80 == 0x80)
    #expect(clock[0] == 0x59)
    clock.time.advance(200_000)
    #expect(clock[0x0a] & 0x80 == 0)
    #expect(clock[0] == 0 && clock[2] == 1)
  }

  @Test func memorySizesAreWhereFirmwareLooks() throws {
    let clock = try Clock(secondsSince1970: 0, below: 3 << 30, above: 5 << 30)
    #expect(UInt64(clock[0x34]) | UInt64(clock[0x35]) << 8 == ((3 << 30) - (16 << 20)) >> 16)
    #expect(UInt64(clock[0x5b]) | UInt64(clock[0x5c]) << 8 | UInt64(clock[0x5d]) << 16 == (5 << 30) >> 16)
    #expect(clock[0x17] == 0xff && clock[0x18] == 0xff)
    let small = try Clock(secondsSince1970: 0, below: 8 << 20)
    #expect(small[0x34] == 0 && small[0x35] == 0)
    #expect(UInt64(small[0x30]) | UInt64(small[0x31]) << 8 == 7 << 10)
    #expect(small[0x15] == 0x80 && small[0x16] == 0x02)
  }

  @Test func memoryIsKeptAndStatusRegistersAreNotWritable() throws {
    let clock = try Clock(secondsSince1970: 0)
    clock[0x0f] = 0x0a
    clock[0x7f] = 0x55
    clock[0x0c] = 0xff
    clock[0x0d] = 0
    #expect(clock[0x0f] == 0x0a && clock[0x7f] == 0x55)
    #expect(clock[0x0c] == 0 && clock[0x0d] == 0x80)
    // Bit 7 of the index is the mask of the non-maskable interrupt.
    #expect(clock[0x80 | 0x7f] == 0x55)
  }

  @Test func flagsAreSetWhetherOrNotTheyInterruptAndReadingClearsThem() throws {
    let clock = try Clock(secondsSince1970: 100)
    (clock[1], clock[3], clock[5]) = (0x41, 0xff, 0xff)
    _ = clock[0x0c]
    clock.time.advance(second)
    #expect(clock[0x0c] & 0xb0 == 0x30, "update and alarm")
    #expect(clock[0x0c] == 0)
    clock.time.advance(second)
    #expect(clock[0x0c] & 0xb0 == 0x10)
  }

  @Test func theAlarmInterruptsInTime() throws {
    let line = try EdgeInterrupt()
    let running = try RunningLoop()
    let device = try RealTimeClock(memoryBelow4GiB: 0, memoryAbove4GiB: 0, interrupt: line, loop: running.loop)
    func write(_ index: UInt8, _ value: UInt8) {
      device.write(offset: 0, width: 2, value: UInt64(index) | UInt64(value) << 8)
    }
    // Any hour, minute and second.
    for index: UInt8 in [1, 3, 5] { write(index, 0xff) }
    write(0x0b, 0x22)
    let event = line.trigger
    var count: UInt64 = 0
    let deadline = monotonicNanoseconds() + 5_000_000_000
    while count == 0, monotonicNanoseconds() < deadline { count = event.drain() }
    #expect(count == 1)
    device.write(offset: 0, width: 1, value: 0x0c)
    #expect(device.read(offset: 1, width: 1) & 0xa0 == 0xa0)
  }

  @Test func anAlarmThatIsDueIsNotLostToAnAccess() throws {
    let clock = try Clock(secondsSince1970: 59, withLine: true)
    // At the next full minute.
    (clock[1], clock[3], clock[5]) = (0, 0xff, 0xff)
    clock[0x0b] = 0x22
    #expect(clock.line.trigger.drain() == 0)
    clock.time.advance(second)
    // Reading the time sets the timer for what comes next, before it was heard of.
    #expect(clock[0] == 0)
    #expect(clock.line.trigger.drain() == 1)
    #expect(clock[0x0c] & 0xa0 == 0xa0)
  }

  @Test func noAccessOfAnyWidthAndValueTraps() throws {
    let clock = try Clock(secondsSince1970: 1_709_164_800, withLine: true)
    for index in UInt64(0)...255 {
      for value in [0, 0x99, 0x7f, 0x80, 0xff] as [UInt64] {
        for width in 0...9 {
          clock.device.write(offset: 0, width: width, value: index | value << 8 | 0xffff_ffff_0000_0000)
          _ = clock.device.read(offset: 0, width: width)
          _ = clock.device.read(offset: 1, width: width)
        }
        clock.time.advance(1_234_567_890)
      }
    }
    #expect(clock.device.read(offset: .max, width: 8) == .max)
  }

  @Test func anyGarbageInTheTimeRegistersIsSurvived() throws {
    let clock = try Clock(secondsSince1970: 0, withLine: true)
    var random = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      let choice = random.next()
      let index = UInt8(choice & 0xff) % 0x3a
      clock[index] = UInt8(truncatingIfNeeded: choice >> 8)
      clock.time.advance(Int64(choice >> 16 & 0xffff_ffff))
      _ = clock[UInt8(choice >> 56)]
    }
  }
}
