import Interrupts
import PCI
import Platform
import Synchronization
import Testing
import VirtioTesting

@testable import Sandbox

@Suite struct DeviceChannelTests {
  private let peer: PacketSocket
  private let ours: PacketSocket
  private let lines = LogLines()

  init() throws { (ours, peer) = try PacketSocket.pair() }

  private func channel(_ patience: DeviceChannel.Patience = .milliseconds(5000)) -> DeviceChannel {
    DeviceChannel(name: "block0", connection: ours, logger: lines.logger, patience: patience)
  }

  private func send(_ messages: DeviceMessage...) throws {
    for message in messages { try peer.send(message.encoded) }
  }

  private func nextRequest() throws -> (DeviceRequest, number: UInt32)? {
    guard case .packet(let packet) = try peer.receive(milliseconds: 0) else { return nil }
    return try DeviceRequest.decode(packet.bytes)
  }

  private let read = DeviceRequest.read(offset: 8, width: 4)

  @Test func waitsAsLongAsAMachineByDefault() {
    #expect(DeviceChannel.Patience().access == 5000)
    #expect(DeviceChannel.Patience().suspension == 10_000)
  }

  @Test func anAnswerReachesItsRequest() throws {
    let channel = channel()
    try send(.value(7, number: 1), .bytes([1], number: 2), .refused("no", number: 3))
    #expect(channel.call(read) == .value(7, number: 1))
    #expect(channel.call(.order([9])) == .bytes([1], number: 2))
    #expect(channel.call(.suspend) == .refused("no", number: 3))
    for (number, request) in [read, .order([9]), .suspend].enumerated() {
      let next = try #require(try nextRequest())
      #expect(next == (request, number: UInt32(number + 1)))
    }
    #expect(lines.all.isEmpty)
  }

  @Test(
    "After nonsense the device is not listened to any more",
    arguments: [
      DeviceMessage.value(1, number: 2).encoded, DeviceMessage.value(1, number: 0).encoded, DeviceMessage.bytes([], number: .max).encoded,
      DeviceMessage.refused("", number: 7).encoded, DeviceMessage.ready([]).encoded, DeviceMessage.failed("late").encoded,
      [5], [255], [2], [2, 1, 0, 0, 0], DeviceMessage.value(1, number: 1).encoded + [0], HostAnswer.value(1).encoded,
      [UInt8](repeating: 0x61, count: 20_000), [0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ])
  func nonsense(_ packet: [UInt8]) throws {
    let channel = channel()
    try peer.send(packet)
    #expect(channel.call(read) == nil)
    // What is right afterwards comes too late.
    try send(.value(1, number: 1), .value(2, number: 2))
    #expect(channel.call(read) == nil)
    _ = try nextRequest()
    #expect(try nextRequest() == nil)
    #expect(lines.all.count == 1 && lines.all[0].contains("nonsense"))
  }

  @Test func aClosedPeerAnswersNothing() throws {
    let (ours, theirs) = try PacketSocket.pair()
    let channel = DeviceChannel(name: "block0", connection: ours, logger: lines.logger)
    let thread = try PThread(name: "peer") { [theirs] in
      // Closes in the middle of a request.
      _ = try? theirs.receive(milliseconds: 5000)
      _ = shutdownBoth(theirs)
    }
    #expect(channel.call(read) == nil)
    thread.join()
    #expect(channel.call(.suspend) == nil)
    #expect(channel.call(.stop) == nil)
    // The launcher says why a process has ended.
    #expect(lines.all.isEmpty)
  }

  @Test func anEmptyPacketIsAnEnd() throws {
    let channel = channel()
    try peer.send([])
    #expect(channel.call(read) == nil)
    try send(.value(1, number: 1))
    #expect(channel.call(read) == nil)
  }

  @Test func aHungDeviceIsWaitedForOnce() throws {
    let channel = channel(.short)
    let before = monotonicNanoseconds()
    for _ in 0..<1000 { #expect(channel.call(read) == nil) }
    #expect(monotonicNanoseconds() - before < 2_000_000_000)
    _ = try #require(try nextRequest())
    #expect(try nextRequest() == nil)
    #expect(lines.all.count == 1)
  }

  @Test func aLateAnswerIsNotTakenForAnother() throws {
    let channel = channel(.short)
    #expect(channel.call(read) == nil)
    try send(.value(1, number: 1), .value(2, number: 2))
    #expect(channel.call(read) == .value(2, number: 2))
    #expect(lines.all.count == 2 && lines.all[1].contains("answers again"))
  }

  @Test func aLateAnswerIsTakenOnce() throws {
    let channel = channel(.short)
    #expect(channel.call(read) == nil)
    try send(.value(1, number: 1), .value(1, number: 1))
    #expect(channel.call(read) == nil)
    try send(.value(2, number: 2))
    #expect(channel.call(read) == nil)
    #expect(lines.all.last?.contains("nonsense") == true)
  }

  @Test func whatIsNotTheLateAnswerIsNonsense() throws {
    let channel = channel(.short)
    #expect(channel.call(read) == nil)
    try send(.value(1, number: 2))
    #expect(channel.call(read) == nil)
    try send(.value(1, number: 1), .value(2, number: 2))
    #expect(channel.call(read) == nil)
  }

  @Test func needsAreServedInTheMiddleOfARequest() throws {
    let channel = channel()
    let event = try EventFD()
    channel.setHost { need, descriptors in
      #expect(need == .attachDoorbell(address: 7) && descriptors.count == 1)
      return (.value(9), event.number)
    }
    try peer.send(DeviceMessage.need(.attachDoorbell(address: 7)).encoded, descriptors: [event.number])
    try send(.value(1, number: 1))
    #expect(channel.call(read) == .value(1, number: 1))
    _ = try nextRequest()
    guard case .packet(let answer) = try peer.receive(milliseconds: 0) else {
      Issue.record("the need is not answered")
      return
    }
    #expect(try HostAnswer(answer.bytes) == .value(9) && answer.descriptors.count == 1)
  }

  @Test func needsBeforeThereIsAMachineAreRefused() throws {
    let channel = channel()
    try send(.need(.makeMessageInterrupt), .value(1, number: 1))
    #expect(channel.call(read) == .value(1, number: 1))
    _ = try nextRequest()
    guard case .packet(let answer) = try peer.receive(milliseconds: 0), case .failed = try HostAnswer(answer.bytes) else {
      Issue.record("the need is not refused")
      return
    }
  }

  @Test func aDeviceThatAsksAndDoesNotListenIsGivenUp() throws {
    let channel = channel()
    // The packets that the VMM sends fill the connection; it does not wait for room.
    channel.setHost { _, _ in (.failed(String(repeating: "x", count: 10_000)), nil) }
    for _ in 0..<100 { try send(.need(.makeMessageInterrupt)) }
    #expect(channel.call(read) == nil)
    #expect(channel.call(read) == nil)
    #expect(lines.all.count == 1)
  }

  @Test func aDeviceThatAsksWithoutEndIsAsGoodAsHung() throws {
    let channel = channel(.short)
    channel.setHost { _, _ in (.value(0), nil) }
    let isOver = Atomic(false)
    let flood = try PThread(name: "peer") { [peer] in
      let need = DeviceMessage.need(.makeMessageInterrupt).encoded
      while !isOver.load(ordering: .relaxed) {
        try? peer.send(need, mayWait: false)
        while case .packet? = try? peer.receive(milliseconds: 0) {}
      }
    }
    let before = monotonicNanoseconds()
    for _ in 0..<20 { #expect(channel.call(read) == nil) }
    #expect(monotonicNanoseconds() - before < 3_000_000_000)
    isOver.store(true, ordering: .relaxed)
    flood.join()
  }

  @Test func needsThatPiledUpDoNotHoldUpTheGuest() throws {
    let channel = channel(.milliseconds(0))
    let served = Mutex(0)
    channel.setHost { [peer] _, _ in
      served.withLock { $0 += 1 }
      // One that asks as fast as it is answered.
      _ = try? peer.receive(milliseconds: 0)
      try? peer.send(DeviceMessage.need(.makeMessageInterrupt).encoded, mayWait: false)
      return (.value(0), nil)
    }
    try send(.need(.makeMessageInterrupt))
    for round in 1...3 {
      #expect(channel.call(read) == nil)
      #expect(served.withLock { $0 } <= 64 * round)
    }
  }

  @Test func callersOfSeveralThreadsGetTheirOwnAnswers() throws {
    let channel = channel()
    let echo = try PThread(name: "peer") { [peer] in
      while case .packet(let packet)? = try? peer.receive(milliseconds: 5000) {
        guard case (.read(let offset, _), let number)? = try? DeviceRequest.decode(packet.bytes) else {
          _ = shutdownBoth(peer)
          return
        }
        try? peer.send(DeviceMessage.value(offset, number: number).encoded)
      }
    }
    let wrong = Atomic(0)
    let callers = try (0..<4).map { caller in
      try PThread(name: "caller\(caller)") {
        for round in 0..<200 {
          let offset = UInt64(caller * 1000 + round)
          guard case .value(offset, _)? = channel.call(.read(offset: offset, width: 1)) else {
            wrong.add(1, ordering: .relaxed)
            continue
          }
        }
      }
    }
    for caller in callers { caller.join() }
    #expect(wrong.load(ordering: .relaxed) == 0)
    #expect(channel.call(.stop) == nil)
    echo.join()
  }

  // MARK: The first message

  @Test func theFirstMessageIsHandedOver() throws {
    let bars = [try BAR(index: 0, kind: .memory32, size: 0x8000)]
    try send(.ready(bars))
    #expect(try channel().waitUntilReady(milliseconds: 1000) == .ready(bars))
  }

  @Test func aDeviceThatIsNotReadyInTimeIsAnError() {
    #expect(throws: DeviceRefusal.self) { try channel().waitUntilReady(milliseconds: 10) }
  }

  @Test func nonsenseAtFirstIsAnError() throws {
    try peer.send([0, 255])
    #expect(throws: (any Error).self) { try channel().waitUntilReady(milliseconds: 1000) }
  }

  @Test func anEndAtFirstIsNoMessage() throws {
    _ = shutdownBoth(peer)
    let channel = channel()
    #expect(try channel.waitUntilReady(milliseconds: 1000) == nil)
    #expect(channel.call(read) == nil)
  }
}
