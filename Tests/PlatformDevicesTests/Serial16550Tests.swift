import Interrupts
import Platform
import PlatformDevices
import Testing

/// A driver's view of a port.
private struct Port {
  let device: Serial16550
  let line: EdgeInterrupt
  let output = RecordingOutput()

  init() throws {
    line = try EdgeInterrupt()
    device = Serial16550(interrupt: line, output: output)
  }

  func input(_ register: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: device.read(offset: register, width: 1)) }
  func output(_ register: UInt64, _ value: UInt8) { device.write(offset: register, width: 1, value: UInt64(value)) }
  func interrupts() -> UInt64 { line.trigger.drain() }
}

private let data: UInt64 = 0, interruptEnable: UInt64 = 1, identification: UInt64 = 2, lineControl: UInt64 = 3
private let modemControl: UInt64 = 4, lineStatus: UInt64 = 5, modemStatus: UInt64 = 6, scratch: UInt64 = 7

@Suite struct Serial16550Tests {
  @Test func linuxRecognizesA16550AWithFIFO() throws {
    let port = try Port()
    // As drivers/tty/serial/8250 probes: the interrupt enable register keeps four bits.
    port.output(interruptEnable, 0)
    #expect(port.input(interruptEnable) & 0x0f == 0)
    port.output(interruptEnable, 0x0f)
    #expect(port.input(interruptEnable) == 0x0f)
    port.output(interruptEnable, 0)
    // In loopback, RTS and OUT2 appear as CTS and DCD.
    port.output(modemControl, 0x10 | 0x0a)
    #expect(port.input(modemStatus) & 0xf0 == 0x90)
    port.output(modemControl, 0)
    // Enabling the FIFO shows both FIFO bits, and never the 64-byte bit of a 16750.
    port.output(identification, 0x01)
    #expect(port.input(identification) >> 6 == 3)
    for control: UInt8 in [0x80, 0xbf] {
      port.output(lineControl, control)
      #expect(port.input(identification) != 0)
      port.output(identification, 0x21)
      #expect(port.input(identification) & 0x20 == 0)
    }
    port.output(lineControl, 0)
    port.output(scratch, 0xa5)
    #expect(port.input(scratch) == 0xa5)
  }

  @Test func linuxFindsNeitherTransmitterBug() throws {
    let port = try Port()
    port.output(interruptEnable, 2)
    let first = port.input(identification)
    port.output(interruptEnable, 0)
    port.output(interruptEnable, 2)
    let second = port.input(identification)
    #expect(first & 0x0f == 2 && second & 0x0f == 2)
    #expect(port.interrupts() == 2)
  }

  @Test func divisorLatchHidesDataAndInterruptEnable() throws {
    let port = try Port()
    port.output(lineControl, 0x83)
    port.output(data, 1)
    port.output(interruptEnable, 2)
    #expect(port.input(data) == 1 && port.input(interruptEnable) == 2)
    port.output(lineControl, 0x03)
    #expect(port.input(interruptEnable) == 0)
    #expect(port.output.bytes.isEmpty)
  }

  @Test func transmittedBytesArriveInOrderEachWithAnInterrupt() throws {
    let port = try Port()
    port.output(interruptEnable, 2)
    for byte in "hello".utf8 {
      #expect(port.input(identification) & 0x0f == 2)
      #expect(port.input(identification) & 0x0f == 1, "reading takes the reason back")
      port.output(data, byte)
    }
    #expect(port.output.bytes == Array("hello".utf8))
    #expect(port.interrupts() == 6)
  }

  @Test func loopbackReturnsEveryByteAndSendsNone() throws {
    let port = try Port()
    port.output(identification, 0x07)
    port.output(modemControl, 0x1f)
    for byte in UInt8.min...UInt8.max { port.output(data, byte) }
    for byte in UInt8.min...UInt8.max {
      #expect(port.input(lineStatus) & 1 == 1)
      #expect(port.input(data) == byte)
    }
    #expect(port.input(lineStatus) == 0x60)
    #expect(port.output.bytes.isEmpty)
  }

  @Test func loopbackOverrunIsReportedOnceAndLosesTheNewBytes() throws {
    let port = try Port()
    port.output(modemControl, 0x10)
    for index in 0..<5000 { port.output(data, UInt8(truncatingIfNeeded: index)) }
    #expect(port.input(lineStatus) & 2 == 2)
    #expect(port.input(lineStatus) & 2 == 0)
    #expect(port.input(data) == 0)
    #expect(port.input(data) == 1)
  }

  @Test func modemDeltasAreReportedAndInterrupt() throws {
    let port = try Port()
    port.output(modemControl, 0x10)
    _ = port.input(modemStatus)
    port.output(interruptEnable, 8)
    port.output(modemControl, 0x12)
    #expect(port.interrupts() == 1)
    #expect(port.input(identification) & 0x0f == 0)
    #expect(port.input(modemStatus) == 0x11)
    #expect(port.input(modemStatus) == 0x10)
    #expect(port.input(identification) & 0x0f == 1)
  }

  @Test func inputWaitsUntilTheGuestListens() throws {
    let port = try Port()
    #expect(port.device.receive([1, 2, 3]) == 0)
    let room = Counter()
    port.device.onReceiveRoom { room.add() }
    // Linux's start clears the FIFO and reads what may be left over, enables the interrupt, enables the FIFO anew, which clears it, and
    // raises DTR and RTS at last. It loses nothing by all that.
    port.output(identification, 0x07)
    port.output(identification, 0x00)
    #expect(port.input(data) == 0)
    port.output(modemControl, 0x08)
    port.output(interruptEnable, 5)
    #expect(port.device.receive([1, 2, 3]) == 0)
    port.output(identification, 0x81)
    port.output(modemControl, 0x0b)
    #expect(room.value == 1)
    #expect(port.device.receive([1, 2, 3]) == 3)
    #expect(port.interrupts() == 1)
    #expect(port.input(identification) == 0xcc)
    #expect([port.input(data), port.input(data), port.input(data)] == [1, 2, 3])
    #expect(port.input(identification) == 0xc1)
  }

  @Test func aGuestThatPollsTheLineStatusGetsInput() throws {
    let port = try Port()
    let room = Counter()
    port.device.onReceiveRoom { room.add() }
    #expect(port.device.receive([7]) == 0)
    for _ in 0..<40 { _ = port.input(lineStatus) }
    #expect(room.value == 1)
    #expect(port.device.receive([7]) == 1)
    #expect(port.input(lineStatus) & 1 == 1)
    #expect(port.input(data) == 7)
  }

  @Test func droppingRequestToSendHoldsInputBack() throws {
    let port = try Port()
    let room = Counter()
    port.device.onReceiveRoom { room.add() }
    port.output(modemControl, 0x0b)
    port.output(interruptEnable, 1)
    port.output(modemControl, 0x09)
    #expect(port.device.receive([1]) == 0)
    port.output(modemControl, 0x0b)
    #expect(room.value == 1)
    #expect(port.device.receive([1]) == 1)
  }

  @Test func aPasteOf100KiBArrivesWhole() throws {
    let port = try Port()
    let paste = (0..<100 << 10).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    let pipe = try TestPipe()
    let pump = try InputPump(descriptor: pipe.readEnd.number, receiver: port.device)
    let writer = try pipe.writeInBackground(paste)
    port.output(modemControl, 0x0b)
    port.output(interruptEnable, 1)
    var received: [UInt8] = []
    while received.count < paste.count {
      if port.input(lineStatus) & 1 == 1 { received.append(port.input(data)) }
    }
    #expect(received == paste)
    writer.join()
    pump.stop()
  }

  @Test func aBlockedOutputMakesTheTransmitterBusyUntilThereIsRoom() throws {
    let port = try Port()
    port.output(interruptEnable, 2)
    _ = port.input(identification)
    port.output.block()
    port.output(data, 1)
    #expect(port.input(lineStatus) & 0x60 == 0)
    #expect(port.input(identification) & 0x0f == 1)
    _ = port.interrupts()
    port.output.unblock()
    #expect(port.input(lineStatus) & 0x60 == 0x60)
    #expect(port.interrupts() == 1)
    #expect(port.input(identification) & 0x0f == 2)
  }

  @Test func noAccessOfAnyWidthAndValueTraps() throws {
    let port = try Port()
    for offset in Array(UInt64(0)...9) + [.max - 3, .max] {
      for width in 0...9 {
        for value in [0, 1, 0x80, 0xff, 0x1234_5678_9abc_def0, .max] as [UInt64] {
          port.device.write(offset: offset, width: width, value: value)
          _ = port.device.read(offset: offset, width: width)
          _ = port.device.receive([1, 2, 3])
        }
      }
    }
    #expect(port.device.read(offset: 8, width: 1) == 0xff)
  }

  @Test func randomAccessesNeverTrapAndNeverHoldMoreThanTheFIFO() throws {
    let port = try Port()
    var random = SystemRandomNumberGenerator()
    for _ in 0..<200_000 {
      let choice = random.next()
      switch choice & 3 {
      case 0: port.output(choice >> 8 & 7, UInt8(truncatingIfNeeded: choice >> 16))
      case 1: _ = port.input(choice >> 8 & 7)
      default: #expect(port.device.receive(ArraySlice(repeating: 1, count: Int(choice >> 8 & 2047))) <= 1024)
      }
    }
  }
}
