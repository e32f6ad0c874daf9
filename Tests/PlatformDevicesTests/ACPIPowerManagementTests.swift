import Interrupts
import Platform
import PlatformDevices
import Testing

private let status: UInt64 = 0, enable: UInt64 = 2, control: UInt64 = 4, timer: UInt64 = 8

@Suite struct ACPIPowerManagementTests {
  @Test func softOffPowersOffAndOtherSleepTypesDoNot() {
    let count = Counter()
    let device = ACPIPowerManagement { count.add() }
    for type in UInt64(0)...7 where type != UInt64(ACPIPowerManagement.softOffType) {
      device.write(offset: control, width: 2, value: type << 10 | 1 << 13)
    }
    device.write(offset: control, width: 2, value: UInt64(ACPIPowerManagement.softOffType) << 10)
    #expect(count.value == 0)
    // Linux writes the type first, then type and enable bit.
    device.write(offset: control, width: 2, value: UInt64(ACPIPowerManagement.softOffType) << 10 | 1 << 13)
    #expect(count.value == 1)
    // The enable bit reads as zero, ACPI mode as one.
    #expect(device.read(offset: control, width: 2) == 5 << 10 | 1)
  }

  @Test func thePowerButtonInterruptsOnceEnabledUntilItIsAcknowledged() throws {
    let line = try LevelInterrupt()
    let device = ACPIPowerManagement(interrupt: line) {}
    #expect(!device.pressPowerButton())
    #expect(line.trigger.drain() == 0)
    device.write(offset: enable, width: 2, value: 1 << 8)
    #expect(line.trigger.drain() == 1)
    device.resampled()
    #expect(line.trigger.drain() == 1, "not acknowledged in the device yet")
    #expect(device.read(offset: status, width: 2) == 1 << 8)
    device.write(offset: status, width: 2, value: 1 << 8)
    device.resampled()
    #expect(line.trigger.drain() == 0)
    #expect(device.pressPowerButton())
    #expect(line.trigger.drain() == 1)
  }

  @Test func theTimerRunsAtItsFrequencyAndWraps() {
    let time = ManualClock(1_000_000_000)
    let device = ACPIPowerManagement(clock: { UInt64(time.now) }) {}
    #expect(device.read(offset: timer, width: 4) == 0)
    time.advance(1_000_000_000)
    #expect(device.read(offset: timer, width: 4) == 3_579_545)
    time.advance(1_200_000_000_000)
    #expect(device.read(offset: timer, width: 4) == (3_579_545 * 1201) & 0xffff_ffff)
  }

  @Test func noAccessOfAnyWidthAndValueTraps() {
    let device = ACPIPowerManagement {}
    for offset in Array(UInt64(0)...13) + [.max - 2, .max] {
      for width in 0...9 {
        for value in [0, 1, 0x2000, 0xff00_ff00_ff00_ff00, .max] as [UInt64] {
          device.write(offset: offset, width: width, value: value)
          _ = device.read(offset: offset, width: width)
        }
      }
    }
  }

  @Test func aPanicIsTold() {
    let panics = Counter()
    let loads = Counter()
    let device = PanicPort { $0 == .panicked ? panics.add() : loads.add() }
    #expect(device.read(offset: 0, width: 1) == 3)
    device.write(offset: 0, width: 1, value: 1)
    device.write(offset: 0, width: 1, value: 2)
    device.write(offset: 0, width: 8, value: 0xfffc)
    #expect(panics.value == 1 && loads.value == 1)
  }
}
