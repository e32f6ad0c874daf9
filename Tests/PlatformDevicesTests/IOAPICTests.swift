import Interrupts
import Platform
import PlatformDevices
import Synchronization
import Testing

/// A machine that remembers what an IOAPIC asked of it.
private final class Host: IOAPICHost {
  struct Route: Equatable {
    var pin: Int
    var message: InterruptMessage?
    var isLevelTriggered: Bool
  }
  private let state = Mutex<(messages: [InterruptMessage], routes: [Route])>(([], []))

  func deliver(_ message: InterruptMessage) { state.withLock { $0.messages.append(message) } }
  func routeChanged(pin: Int, message: InterruptMessage?, isLevelTriggered: Bool) {
    state.withLock { $0.routes.append(Route(pin: pin, message: message, isLevelTriggered: isLevelTriggered)) }
  }

  /// The vectors delivered since the last call.
  func vectors() -> [UInt32] { take().map { $0.data & 0xff } }
  func take() -> [InterruptMessage] {
    state.withLock { state in
      defer { state.messages = [] }
      return state.messages
    }
  }
  func takeRoutes() -> [Route] {
    state.withLock { state in
      defer { state.routes = [] }
      return state.routes
    }
  }
}

private let level: UInt32 = 1 << 15, masked: UInt32 = 1 << 16, remoteRequest: UInt32 = 1 << 14

extension IOAPIC {
  fileprivate subscript(_ register: UInt64) -> UInt32 {
    get {
      write(offset: 0, width: 4, value: register)
      return UInt32(truncatingIfNeeded: read(offset: 0x10, width: 4))
    }
    set {
      write(offset: 0, width: 4, value: register)
      write(offset: 0x10, width: 4, value: UInt64(newValue))
    }
  }

  fileprivate func program(_ pin: UInt64, _ low: UInt32, high: UInt32 = 0) {
    let device = self
    device[0x11 + 2 * pin] = high
    device[0x10 + 2 * pin] = low
  }

  fileprivate func entry(_ pin: UInt64) -> UInt32 { self[0x10 + 2 * pin] }
}

@Suite struct IOAPICTests {
  private let host = Host()

  @Test func linuxReads24InputsAllMasked() {
    let device = IOAPIC(host: host)
    #expect(device[1] == 0x0017_0020)
    device[0] = 0xff00_0000
    #expect(device[0] == 0x0f00_0000 && device[2] == 0x0f00_0000)
    for pin in UInt64(0)..<24 {
      #expect(device.entry(pin) == masked)
      device.setLine(Int(pin), asserted: true)
    }
    #expect(host.take().isEmpty)
  }

  @Test func anEdgeIsDeliveredOncePerRise() {
    let device = IOAPIC(host: host)
    device.program(4, 0x24)
    device.setLine(4, asserted: true)
    device.setLine(4, asserted: true)
    #expect(host.vectors() == [0x24])
    device.setLine(4, asserted: false)
    device.pulse(4)
    #expect(host.vectors() == [0x24])
    #expect(device.entry(4) & remoteRequest == 0)
  }

  @Test func anEdgeWhileMaskedIsLost() {
    let device = IOAPIC(host: host)
    device.program(4, 0x24 | masked)
    device.pulse(4)
    device.program(4, 0x24)
    #expect(host.take().isEmpty)
  }

  @Test func aLevelIsDeliveredAgainAfterEachAcknowledgementWhileItIsAsserted() {
    let device = IOAPIC(host: host)
    device.program(10, 0x30 | level)
    device.setLine(10, asserted: true)
    device.setLine(10, asserted: true)
    #expect(host.vectors() == [0x30])
    #expect(device.entry(10) & remoteRequest != 0)
    device.endOfInterrupt(vector: 0x31)
    #expect(host.take().isEmpty, "another vector's acknowledgement")
    device.endOfInterrupt(vector: 0x30)
    #expect(host.vectors() == [0x30])
    device.setLine(10, asserted: false)
    device.write(offset: 0x40, width: 4, value: 0x30)
    #expect(host.take().isEmpty)
    #expect(device.entry(10) & remoteRequest == 0)
  }

  @Test func aLevelThatRoseWhileMaskedIsDeliveredWhenUnmasked() {
    let device = IOAPIC(host: host)
    device.program(10, 0x30 | level | masked)
    device.setLine(10, asserted: true)
    #expect(host.take().isEmpty)
    device.program(10, 0x30 | level)
    #expect(host.vectors() == [0x30])
  }

  @Test func maskingBeforeTheAcknowledgementAsLinuxsThreadedHandlersDoLosesNothing() {
    let device = IOAPIC(host: host)
    device.program(10, 0x30 | level)
    device.setLine(10, asserted: true)
    _ = host.take()
    _ = host.takeRoutes()
    device.program(10, 0x30 | level | masked)
    #expect(host.takeRoutes().isEmpty, "the kernel must go on to report the acknowledgement")
    device.endOfInterrupt(vector: 0x30)
    #expect(host.take().isEmpty)
    device.program(10, 0x30 | level)
    #expect(host.vectors() == [0x30])
  }

  @Test func becomingEdgeTriggeredClearsTheRemoteRequest() {
    let device = IOAPIC(host: host)
    device.program(10, 0x30 | level)
    device.setLine(10, asserted: true)
    device.program(10, 0x30 | masked)
    #expect(device.entry(10) & remoteRequest == 0)
    device.program(10, 0x30 | level | remoteRequest | masked)
    #expect(device.entry(10) & remoteRequest == 0, "the guest cannot set it")
  }

  @Test func messagesCarryAllFieldsOfTheEntry() {
    let device = IOAPIC(host: host)
    device.program(3, 0x41 | 1 << 8 | 1 << 11 | level, high: 0x5a00_0000)
    device.setLine(3, asserted: true)
    #expect(host.take() == [InterruptMessage(address: 0xfee5_a004, data: 0xc141)])
  }

  @Test func routesAreToldWhenTheyChangeAndOnlyThen() {
    let device = IOAPIC(host: host)
    device.program(4, 0x24)
    let message = InterruptMessage(address: 0xfee0_0000, data: 0x24)
    #expect(host.takeRoutes() == [Host.Route(pin: 4, message: message, isLevelTriggered: false)])
    device.program(4, 0x24)
    #expect(host.takeRoutes().isEmpty)
    device.program(4, 0x24 | masked)
    #expect(host.takeRoutes() == [Host.Route(pin: 4, message: nil, isLevelTriggered: false)])
    device.program(4, 0x05 | level)
    #expect(host.takeRoutes().last == Host.Route(pin: 4, message: nil, isLevelTriggered: true))
  }

  @Test func acknowledgedInputsAreToldAndMayBeLoweredByTheHandler() {
    let device = IOAPIC(host: host)
    device.onAcknowledge { [unowned device] in device.setLine($0, asserted: false) }
    for pin in [5, 6] as [UInt64] {
      device.program(pin, 0x30 | level)
      device.setLine(Int(pin), asserted: true)
    }
    #expect(host.vectors() == [0x30, 0x30])
    device.endOfInterrupt(vector: 0x30)
    #expect(host.take().isEmpty)
  }

  @Test func noAccessOfAnyWidthAndValueTraps() {
    let device = IOAPIC(host: host)
    for select in UInt64(0)...255 {
      for value in [0, 0x30, 0x8030, 0x1_8030, .max] as [UInt64] {
        for offset in [0, 1, 4, 0x10, 0x11, 0x14, 0x40, 0xfff, .max] as [UInt64] {
          device.write(offset: 0, width: 1, value: select)
          device.write(offset: offset, width: Int(value & 15), value: value)
          _ = device.read(offset: offset, width: 8)
        }
      }
    }
    for pin in [-1, 24, .max, .min] { device.setLine(pin, asserted: true) }
    for vector in UInt8.min...UInt8.max { device.endOfInterrupt(vector: vector) }
  }

  @Test func devicesEventsReachTheInputsAndComeBackAfterTheAcknowledgement() throws {
    let device = IOAPIC(host: host)
    device.program(2, 0x22)
    device.program(11, 0x33 | level)
    let loop = try EventLoop()
    let inputs = InterruptInputs(loop: loop, ioapic: device, pic: nil)
    let (timer, first, second) = (try EdgeInterrupt(), try LevelInterrupt(), try LevelInterrupt())
    try inputs.connect(timer, line: 0)
    try inputs.connect(first, line: 11)
    try inputs.connect(second, line: 11)
    let thread = try PThread(name: "inputs") { try? loop.run() }
    timer.trigger.signal()
    #expect(waitForVectors(1) == [0x22])
    first.trigger.signal()
    #expect(waitForVectors(1) == [0x33])
    device.endOfInterrupt(vector: 0x33)
    #expect(first.resample.drain() == 1 && second.resample.drain() == 1)
    #expect(host.take().isEmpty, "the line fell")
    second.trigger.signal()
    #expect(waitForVectors(1) == [0x33])
    loop.stop()
    thread.join()
  }

  private func waitForVectors(_ count: Int) -> [UInt32] {
    var vectors: [UInt32] = []
    let deadline = monotonicNanoseconds() + 5_000_000_000
    while vectors.count < count, monotonicNanoseconds() < deadline { vectors += host.vectors() }
    return vectors
  }
}
