import Interrupts
import Logging
import Platform
import SandboxTesting
import Testing

@testable import Sandbox

/// The device's side, against answers that it does not expect.
@Suite struct MachineLinkTests {
  private let vmm: PacketSocket
  private let link: MachineLink
  private let event: EventFD

  init() throws {
    let (ours, theirs) = try PacketSocket.pair()
    vmm = ours
    link = MachineLink(theirs)
    event = try EventFD()
  }

  private func nextNeed() throws -> (HostRequest?, descriptors: Int) {
    guard case .packet(let packet) = try vmm.receive(milliseconds: 0), case .need(let need) = try DeviceMessage(packet.bytes) else {
      return (nil, 0)
    }
    return (need, packet.descriptors.count)
  }

  @Test func needsGoToTheMachine() throws {
    for _ in 0..<3 { try vmm.send(HostAnswer.value(1).encoded) }
    #expect(link.decode(bar: 0, at: 0xd000_0000))
    try link.attach(event: event.number, at: 7)
    try link.detach(event: event.number, at: 7)
    #expect(try nextNeed() == (.decode(bar: 0, base: 0xd000_0000), 0))
    #expect(try nextNeed() == (.attachDoorbell(address: 7), 1))
    #expect(try nextNeed() == (.detachDoorbell(address: 7), 0))
  }

  @Test func aVectorIsMadeAndRouted() throws {
    try vmm.send(HostAnswer.value(3).encoded, descriptors: [event.number])
    let vector = try link.makeMessageInterrupt()
    vector.event.signal()
    var value: UInt64 = 0
    #expect(unsafe readEvent(event.number, &value))
    try vmm.send(HostAnswer.failed("no route").encoded)
    let message = InterruptMessage(address: 1, data: 2)
    #expect(throws: DeviceRefusal.self) { try vector.route(message) }
    #expect(try nextNeed() == (.makeMessageInterrupt, 0))
    #expect(try nextNeed() == (.route(vector: 3, message), 0))
  }

  @Test func aVectorWithoutAnEventIsNone() throws {
    try vmm.send(HostAnswer.value(0).encoded)
    #expect(throws: DeviceRefusal.self) { try link.makeMessageInterrupt() }
  }

  @Test(arguments: [
    [0], [0x80], [0x80, 1], [0x80, 0, 1, 0, 0, 0], DeviceRequest.stop.encoded(number: 1), [UInt8](repeating: 9, count: 3000),
  ])
  func nonsenseIsAFailure(_ packet: [UInt8]) throws {
    for _ in 0..<4 { try vmm.send(packet) }
    #expect(!link.decode(bar: 0, at: nil))
    #expect(throws: (any Error).self) { try link.attach(event: event.number, at: 0) }
    #expect(throws: (any Error).self) { try link.detach(event: event.number, at: 0) }
    #expect(throws: (any Error).self) { try link.makeMessageInterrupt() }
  }

  @Test func aMachineThatIsGoneIsAFailure() throws {
    #expect(shutdownBoth(vmm))
    #expect(try link.receive() == nil)
    #expect(!link.decode(bar: 0, at: 1))
    #expect(throws: (any Error).self) { try link.makeMessageInterrupt() }
  }

  @Test func refusedRangesAndOddAnswersAreNo() throws {
    for answer in [HostAnswer.value(0), .value(2), .failed("no")] {
      try vmm.send(answer.encoded)
      #expect(!link.decode(bar: 0, at: 1))
    }
  }
}

/// How a device's log reaches the VMM.
@Suite struct EventSenderTests {
  @Test func linesThatFindNoRoomAreCounted() throws {
    let (ours, theirs) = try PacketSocket.pair()
    let sender = EventSender(theirs)
    let logger = Logger(label: "device") { _ in EventLogHandler(sender: sender, logLevel: .info) }
    for number in 0..<5000 { logger.info("\(number)") }
    var texts: [String] = []
    func take() throws {
      while case .packet(let packet) = try ours.receive(milliseconds: 0) {
        if case .line(.info, let text) = try DeviceEvent(packet.bytes) { texts.append(text) }
      }
    }
    try take()
    #expect(texts.count < 5000 && texts.prefix(2) == ["0", "1"])
    let lost = 5000 - texts.count
    logger.info("more", metadata: ["b": "2", "a": "1"])
    try take()
    #expect(texts.last == "more a=1 b=2 (\(lost) lines before this one are lost)")
  }

  @Test func aVMMThatIsGoneIsNoTrouble() throws {
    let (ours, theirs) = try PacketSocket.pair()
    #expect(shutdownBoth(ours))
    let sender = EventSender(theirs)
    sender.send(.attachLine)
    Logger(label: "device") { _ in EventLogHandler(sender: sender, logLevel: .info) }.info("line")
  }
}
