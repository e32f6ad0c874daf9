import Bus
import Interrupts
import Platform
import PlatformDevices
import Testing

private let control: UInt64 = 3

/// A timer whose clock the test moves.
private struct Timer {
  let time = ManualClock(1_000_000_000)
  let device: PIT
  let portB: any BusDevice

  init() throws {
    let time = time
    device = try PIT(interrupt: EdgeInterrupt()) { UInt64(time.now) }
    portB = device.portB
  }

  func write(_ port: UInt64, _ values: Int...) { for value in values { device.write(offset: port, width: 1, value: UInt64(value)) } }
  func read(_ port: UInt64) -> UInt64 { device.read(offset: port, width: 1) }
  func count(_ port: UInt64) -> UInt64 { read(port) | read(port) << 8 }
  func advance(ticks: Int64) { time.advance((ticks * 1_000_000_000 + 1_193_181) / 1_193_182) }
  var output: Bool { portB.read(offset: 0, width: 1) & 0x20 != 0 }
}

@Suite struct PITTests {
  @Test func linuxMeasuresItsClockWithCounter2() throws {
    let timer = try Timer()
    // As pit_calibrate_tsc: gate on, speaker off; counter 2 in mode 0; then wait for the output.
    timer.portB.write(offset: 0, width: 1, value: 0x01)
    timer.write(control, 0xb0)
    timer.write(2, 0x9b, 0x2e)
    #expect(!timer.output)
    timer.advance(ticks: 0x2e9a)
    #expect(!timer.output)
    timer.advance(ticks: 1)
    #expect(timer.output)
  }

  @Test func countsFallThroughZeroAndLatchedOnesStandStill() throws {
    let timer = try Timer()
    timer.portB.write(offset: 0, width: 1, value: 0x01)
    timer.write(control, 0xb0)
    timer.write(2, 0xff, 0xff)
    timer.advance(ticks: 0x100)
    #expect(timer.count(2) == 0xfeff)
    timer.write(control, 0x80)
    timer.advance(ticks: 0x100)
    #expect(timer.count(2) == 0xfeff)
    #expect(timer.count(2) == 0xfdff)
    timer.advance(ticks: 0xfe00)
    #expect(timer.count(2) == 0xffff)
  }

  @Test func theGateHoldsCounter2() throws {
    let timer = try Timer()
    timer.write(control, 0xb0)
    timer.write(2, 0x00, 0x10)
    timer.advance(ticks: 0x800)
    #expect(timer.count(2) == 0x1000)
    timer.portB.write(offset: 0, width: 1, value: 1)
    timer.advance(ticks: 0x800)
    timer.portB.write(offset: 0, width: 1, value: 0)
    timer.advance(ticks: 0x800)
    #expect(timer.count(2) == 0x800)
    #expect(timer.portB.read(offset: 0, width: 1) & 3 == 0)
  }

  @Test func readBackKeepsStatusAndCountOfSeveralCounters() throws {
    let timer = try Timer()
    timer.write(control, 0x34, 0x76)
    timer.write(0, 0x00, 0x10)
    timer.advance(ticks: 10)
    timer.write(control, 0xc0 | 0x02 | 0x04)
    #expect(timer.read(0) == 0x80 | 0x30 | 2 << 1)
    #expect(timer.count(0) == 0x1000 - 10)
    #expect(timer.read(1) & 0x40 == 0x40, "not loaded yet")
  }

  @Test func modesAndBCDCountAsDocumented() throws {
    let timer = try Timer()
    timer.portB.write(offset: 0, width: 1, value: 1)
    // Mode 3, BCD, 1000.
    timer.write(control, 0xb7)
    timer.write(2, 0x00, 0x10)
    #expect(timer.output)
    timer.advance(ticks: 250)
    #expect(timer.count(2) == 0x500)
    timer.advance(ticks: 250)
    #expect(!timer.output)
    timer.advance(ticks: 500)
    #expect(timer.output)
    // Mode 2: low for the last tick.
    timer.write(control, 0xb4)
    timer.write(2, 100, 0)
    timer.advance(ticks: 98)
    #expect(timer.output)
    timer.advance(ticks: 1)
    #expect(!timer.output)
    timer.advance(ticks: 1)
    #expect(timer.output && timer.count(2) == 100)
  }

  @Test func counter0InterruptsPeriodicallyUntilItIsStopped() throws {
    let line = try EdgeInterrupt()
    let running = try RunningLoop()
    let device = try PIT(interrupt: line, loop: running.loop)
    func write(_ port: UInt64, _ value: UInt64) { device.write(offset: port, width: 1, value: value) }
    write(control, 0x34)
    // A millisecond.
    write(0, 1193 & 0xff)
    write(0, 1193 >> 8)
    let start = monotonicNanoseconds()
    var count: UInt64 = 0
    while count < 20, monotonicNanoseconds() - start < 5_000_000_000 { count += line.trigger.drain() }
    #expect(count >= 20)
    #expect(monotonicNanoseconds() - start > 19_000_000)
    write(control, 0x30)
    _ = line.trigger.drain()
  }

  @Test func aCountThatIsLatchedMeanwhileInterruptsAllTheSame() throws {
    let line = try EdgeInterrupt()
    let running = try RunningLoop()
    let device = try PIT(interrupt: line, loop: running.loop)
    for _ in 0..<20 {
      device.write(offset: control, width: 1, value: 0x30)
      for byte in [2, 0] as [UInt64] { device.write(offset: 0, width: 1, value: byte) }
      // Its time is over soon, but its interrupt waits for the shortest period.
      for _ in 0..<10 {
        device.write(offset: control, width: 1, value: 0)
        _ = (device.read(offset: 0, width: 1), device.read(offset: 0, width: 1))
      }
      var count: UInt64 = 0
      let deadline = monotonicNanoseconds() + 5_000_000_000
      while count == 0, monotonicNanoseconds() < deadline { count = line.trigger.drain() }
      #expect(count == 1)
    }
  }

  @Test func theShortestPeriodDoesNotKeepTheHostBusy() throws {
    let line = try EdgeInterrupt()
    let running = try RunningLoop()
    let device = try PIT(interrupt: line, loop: running.loop)
    device.write(offset: control, width: 1, value: 0x14)
    device.write(offset: 0, width: 1, value: 2)
    let start = monotonicNanoseconds()
    var count: UInt64 = 0
    while monotonicNanoseconds() - start < 50_000_000 { count += line.trigger.drain() }
    #expect(count >= 1 && count <= 260)
  }

  @Test func randomAccessesNeverTrap() throws {
    let timer = try Timer()
    var random = SystemRandomNumberGenerator()
    for _ in 0..<200_000 {
      let choice = random.next()
      let width = Int(choice >> 8 & 15)
      switch choice & 7 {
      case 0: _ = timer.device.read(offset: choice >> 16 & 7, width: width)
      case 1: timer.portB.write(offset: choice >> 16 & 1, width: width, value: choice >> 24)
      case 2: _ = timer.portB.read(offset: choice >> 16 & 1, width: width)
      case 3: timer.time.advance(Int64(choice >> 24 & 0xffff_ffff))
      default: timer.device.write(offset: choice >> 16 & 7, width: width, value: choice >> 24)
      }
    }
  }
}
