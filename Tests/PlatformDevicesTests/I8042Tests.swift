import PlatformDevices
import Testing

private let data: UInt64 = 0, command: UInt64 = 4

@Suite struct I8042Tests {
  @Test func pulsingTheResetLineResets() {
    let resets = Counter()
    let device = I8042 { resets.add() }
    // Linux waits until the input buffer is empty (bit 1) before it pulses.
    #expect(device.read(offset: command, width: 1) & 2 == 0)
    device.write(offset: command, width: 1, value: 0xfe)
    #expect(resets.value == 1)
    device.write(offset: command, width: 1, value: 0xff)
    #expect(resets.value == 1, "no line is pulsed")
    device.write(offset: command, width: 1, value: 0xd1)
    device.write(offset: data, width: 1, value: 0xfe)
    #expect(resets.value == 2)
    device.write(offset: command, width: 1, value: 0xd1)
    device.write(offset: data, width: 1, value: 0xdf)
    #expect(resets.value == 2, "opening address line 20 resets nothing")
  }

  @Test func theDriversQuestionsAreAnsweredAtOnce() {
    let device = I8042 {}
    func ask(_ value: UInt64) -> UInt64? {
      device.write(offset: command, width: 1, value: value)
      guard device.read(offset: command, width: 1) & 1 == 1 else { return nil }
      return device.read(offset: data, width: 1)
    }
    #expect(ask(0xaa) == 0x55)
    #expect(ask(0xab) == 0)
    device.write(offset: command, width: 1, value: 0x60)
    device.write(offset: data, width: 1, value: 0x47)
    #expect(ask(0x20) == 0x47)
    #expect(ask(0xa9) == 1, "there is no mouse port")
    #expect(ask(0xad) == nil)
    // The echo of a mouse port must come as the mouse's (bit 5) to count.
    device.write(offset: command, width: 1, value: 0xd3)
    device.write(offset: data, width: 1, value: 0x5a)
    #expect(device.read(offset: command, width: 1) & 0x21 == 0x01)
  }

  @Test func flushingEnds() {
    let device = I8042 {}
    device.write(offset: command, width: 1, value: 0xaa)
    var reads = 0
    while device.read(offset: command, width: 1) & 1 == 1, reads < 16 {
      _ = device.read(offset: data, width: 1)
      reads += 1
    }
    #expect(reads == 1)
  }

  @Test func portBShowsBothStatesOfTheRefreshBit() {
    let device = I8042 {}
    let values = Set((0..<4).map { _ in device.read(offset: 1, width: 1) })
    #expect(values == [0x20, 0x30])
  }

  @Test func noAccessOfAnyWidthAndValueTraps() {
    let device = I8042 {}
    for offset in Array(UInt64(0)...6) + [.max] {
      for width in 0...9 {
        for value in UInt64(0)...255 {
          device.write(offset: offset, width: width, value: value &* 0x0101_0101_0101_0101)
          _ = device.read(offset: offset, width: width)
        }
      }
    }
  }
}
