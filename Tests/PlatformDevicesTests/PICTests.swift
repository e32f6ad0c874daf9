import Bus
import PlatformDevices
import Testing

/// A driver's view of both chips, set up as Linux does: vectors 0x30 and 0x38.
private struct Controllers {
  let output = Counter()
  let pic: PIC
  private let first: any BusDevice
  private let second: any BusDevice
  let edgeLevel: any BusDevice

  init() {
    let output = output
    pic = PIC { if $0 { output.add() } }
    (first, second, edgeLevel) = (pic.first, pic.second, pic.edgeLevel)
    for (port, value) in [(0x20, 0x11), (0x21, 0x30), (0x21, 0x04), (0x21, 0x01), (0xa0, 0x11), (0xa1, 0x38), (0xa1, 0x02), (0xa1, 0x01)] {
      write(port, value)
    }
    unmask(0xffff)
  }

  func write(_ port: Int, _ value: Int) {
    (port < 0xa0 ? first : second).write(offset: UInt64(port & 1), width: 1, value: UInt64(value))
  }
  func read(_ port: Int) -> UInt64 { (port < 0xa0 ? first : second).read(offset: UInt64(port & 1), width: 1) }
  func unmask(_ lines: Int) {
    write(0x21, ~lines & 0xff)
    write(0xa1, ~lines >> 8 & 0xff)
  }
}

@Suite struct PICTests {
  @Test func aMaskReadsBackAsLinuxsProbeExpects() {
    let chips = Controllers()
    chips.write(0x21, 0xfb)
    #expect(chips.read(0x21) == 0xfb)
  }

  @Test func anEdgeInterruptsOnceWithItsVector() {
    let chips = Controllers()
    chips.pic.pulse(4)
    #expect(chips.pic.wantsInterrupt)
    #expect(chips.pic.acknowledge() == 0x34)
    #expect(!chips.pic.wantsInterrupt)
    chips.write(0x20, 0x20)
    #expect(!chips.pic.wantsInterrupt)
  }

  @Test func prioritiesNestAndEndInOrder() {
    let chips = Controllers()
    chips.pic.pulse(5)
    #expect(chips.pic.acknowledge() == 0x35)
    chips.pic.pulse(6)
    #expect(!chips.pic.wantsInterrupt, "lower than the one being served")
    chips.pic.pulse(1)
    #expect(chips.pic.acknowledge() == 0x31)
    chips.write(0x20, 0x0b)
    #expect(chips.read(0x20) == 0x22, "in service")
    chips.write(0x20, 0x20)
    #expect(!chips.pic.wantsInterrupt)
    chips.write(0x20, 0x60 | 5)
    #expect(chips.pic.acknowledge() == 0x36)
  }

  @Test func theSecondChipInterruptsThroughTheFirst() {
    let chips = Controllers()
    chips.pic.pulse(8)
    chips.pic.pulse(14)
    #expect(chips.pic.acknowledge() == 0x38)
    #expect(!chips.pic.wantsInterrupt)
    chips.write(0xa0, 0x20)
    chips.write(0x20, 0x62)
    #expect(chips.pic.wantsInterrupt, "14 has waited")
    #expect(chips.pic.acknowledge() == 0x3e)
  }

  @Test func aMaskedInputWaitsAndASpuriousAcknowledgementGetsInput7() {
    let chips = Controllers()
    chips.unmask(0)
    chips.pic.pulse(4)
    #expect(!chips.pic.wantsInterrupt)
    #expect(chips.pic.acknowledge() == 0x37)
    chips.unmask(1 << 4)
    #expect(chips.pic.acknowledge() == 0x34)
  }

  @Test func aLevelInterruptsAgainUntilItFalls() {
    let chips = Controllers()
    let ends = Counter()
    chips.pic.onAcknowledge { line in if line == 11 { ends.add() } }
    chips.edgeLevel.write(offset: 0, width: 2, value: 0xffff)
    #expect(chips.edgeLevel.read(offset: 0, width: 2) == 0xdef8)
    chips.pic.setLine(11, asserted: true)
    #expect(chips.pic.acknowledge() == 0x3b)
    chips.write(0xa0, 0x20)
    chips.write(0x20, 0x20)
    #expect(ends.value == 1)
    #expect(chips.pic.acknowledge() == 0x3b)
    chips.pic.setLine(11, asserted: false)
    chips.write(0xa0, 0x20)
    chips.write(0x20, 0x20)
    #expect(!chips.pic.wantsInterrupt)
  }

  @Test func randomAccessesAndLinesNeverTrap() {
    let chips = Controllers()
    var random = SystemRandomNumberGenerator()
    let devices = [chips.pic.first, chips.pic.second, chips.pic.edgeLevel]
    for _ in 0..<100_000 {
      let choice = random.next()
      let device = devices[Int(choice >> 8) % 3 & 3]
      switch choice & 3 {
      case 0: device.write(offset: choice >> 16 & 3, width: Int(choice >> 20 & 15), value: choice >> 24)
      case 1: _ = device.read(offset: choice >> 16 & 3, width: Int(choice >> 20 & 15))
      case 2: chips.pic.setLine(Int(choice >> 16 & 31) - 4, asserted: choice >> 32 & 1 == 0)
      default: _ = chips.pic.acknowledge()
      }
    }
  }
}
