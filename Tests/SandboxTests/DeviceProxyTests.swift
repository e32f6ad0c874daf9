import Bus
import Interrupts
import PCI
import Platform
import Synchronization
import Testing
import VirtioTesting

@testable import Sandbox

/// A device's process that does not mean well, against the VMM's side.
@Suite struct DeviceProxyTests {
  private static let base: UInt64 = 0xd000_0000
  private static let size: UInt64 = 0x8000
  private static let page: UInt64 = 0x1000

  private let peer: PacketSocket
  private let proxy: DeviceProxy
  private let machine = FakeMachine()
  private let lines = LogLines()
  private let event: EventFD

  init() throws {
    let (ours, theirs) = try PacketSocket.pair()
    peer = theirs
    event = try EventFD()
    let bars = [try BAR(index: 0, kind: .memory32, size: Self.size), try BAR(index: 2, kind: .memory32, size: Self.page)]
    let channel = DeviceChannel(name: "block0", connection: ours, logger: lines.logger, patience: .milliseconds(0))
    proxy = DeviceProxy(name: "block0", bars: bars, channel: channel, machine: machine.services)
    proxy.connect(machine)
  }

  /// Lets the device need something while a request is under way.
  ///
  /// - Returns: The machine's answers.
  private func serve(_ needs: [HostRequest], descriptors: [Int32] = [], number: UInt32) throws -> [HostAnswer] {
    for need in needs { try peer.send(DeviceMessage.need(need).encoded, descriptors: descriptors, mayWait: false) }
    try peer.send(DeviceMessage.value(0x11, number: number).encoded)
    #expect(proxy.read(offset: 0, width: 1) == 0x11)
    var answers: [HostAnswer] = []
    while case .packet(let packet) = try peer.receive(milliseconds: 0) {
      if let answer = try? HostAnswer(packet.bytes) { answers.append(answer) }
    }
    return answers
  }

  private func isRefused(_ answer: HostAnswer?) -> Bool {
    if case .failed? = answer { true } else { false }
  }

  @Test func whatIsNotAnsweredReadsAsAllOnes() throws {
    #expect(proxy.read(offset: 0, width: 4) == .max)
    #expect(proxy.readConfiguration(offset: 0, width: 4) == .max)
    proxy.write(offset: 0, width: 8, value: 1)
    proxy.writeConfiguration(offset: 4, width: 2, value: 6)
    #expect(!proxy.holdStill())
    proxy.goOn()
    #expect(throws: DeviceRefusal.self) { try proxy.perform([1]) }
    proxy.stop(within: 0)
  }

  @Test func answersOfAnotherKindReadAsAllOnes() throws {
    try peer.send(DeviceMessage.bytes([1, 2], number: 1).encoded)
    #expect(proxy.read(offset: 0, width: 4) == .max)
    try peer.send(DeviceMessage.refused("no", number: 2).encoded)
    #expect(proxy.readConfiguration(offset: 0, width: 4) == .max)
    try peer.send(DeviceMessage.value(3, number: 3).encoded)
    #expect(throws: DeviceRefusal.self) { try proxy.perform([1]) }
    try peer.send(DeviceMessage.value(.max - 1, number: 4).encoded)
    #expect(proxy.readConfiguration(offset: 0, width: 4) == UInt32.max - 1)
  }

  @Test func ordersAreAnsweredOrRefused() throws {
    try peer.send(DeviceMessage.bytes([1, 2], number: 1).encoded)
    #expect(try proxy.perform([9]) == [1, 2])
    try peer.send(DeviceMessage.refused("no driver", number: 2).encoded)
    #expect(throws: DeviceRefusal(description: "no driver")) { try proxy.perform([9]) }
  }

  @Test func accessesOfAnyOffsetAndWidthAreHandedOver() throws {
    for (number, (offset, width)) in [(0, 1), (.max, 8), (1 << 63, 255)].enumerated() as EnumeratedSequence<[(UInt64, Int)]> {
      try peer.send(DeviceMessage.value(5, number: UInt32(number + 1)).encoded)
      #expect(proxy.read(offset: offset, width: width) == 5)
    }
    try peer.send(DeviceMessage.value(5, number: 4).encoded)
    #expect(proxy.readConfiguration(offset: .max, width: .max) == 5)
    try peer.send(DeviceMessage.value(5, number: 5).encoded)
    #expect(proxy.readConfiguration(offset: -1, width: -1) == 5)
  }

  // MARK: Ranges

  @Test func onlyRegistersThatThereAreAreMoved() throws {
    let answers = try serve(
      [.decode(bar: 1, base: Self.base), .decode(bar: 255, base: 0), .decode(bar: 3, base: nil), .decode(bar: 0, base: Self.base)],
      number: 1)
    #expect(answers == [.value(0), .value(0), .value(0), .value(1)])
    #expect(machine.state.withLock { $0.ranges } == [0: Self.base])
  }

  @Test func aRangeWithoutAHostIsNotMoved() throws {
    let (ours, theirs) = try PacketSocket.pair()
    let channel = DeviceChannel(name: "block1", connection: ours, logger: silent, patience: .milliseconds(0))
    let proxy = DeviceProxy(name: "block1", bars: proxy.bars, channel: channel, machine: machine.services)
    try theirs.send(DeviceMessage.need(.decode(bar: 0, base: Self.base)).encoded)
    try theirs.send(DeviceMessage.value(1, number: 1).encoded)
    #expect(proxy.read(offset: 0, width: 1) == 1)
    #expect(machine.state.withLock { $0.ranges.isEmpty })
  }

  @Test func aRangeAtTheEndOfTheWorldIsNoPlaceForDoorbells() throws {
    let answers = try serve(
      [.decode(bar: 0, base: .max), .attachDoorbell(address: .max)], descriptors: [event.number], number: 1)
    #expect(isRefused(answers.last) && machine.doorbells.isEmpty)
  }

  // MARK: Doorbells

  @Test func doorbellsAreWhereTheDeviceAnswers() throws {
    let wrong = [0, Self.base - 1, Self.base + Self.size - 1, Self.base + Self.size, .max]
    let before = try serve([.attachDoorbell(address: Self.base)], descriptors: [event.number], number: 1)
    #expect(isRefused(before.first))
    let answers = try serve(
      [.decode(bar: 0, base: Self.base)] + wrong.map { .attachDoorbell(address: $0) } + [.attachDoorbell(address: Self.base + 0x3000)],
      descriptors: [event.number], number: 2)
    #expect(answers.dropFirst().dropLast().allSatisfy { isRefused($0) } && answers.last == .value(0))
    #expect(machine.doorbells == [Self.base + 0x3000])
  }

  @Test func noDoorbellIsAttachedWithoutAnEvent() throws {
    let answers = try serve([.decode(bar: 0, base: Self.base), .attachDoorbell(address: Self.base)], number: 1)
    #expect(isRefused(answers.last) && machine.doorbells.isEmpty)
  }

  @Test func ofManyDescriptorsOneIsKept() throws {
    let count = openDescriptors()
    let many = [Int32](repeating: event.number, count: PacketSocket.mostDescriptors)
    let answers = try serve([.decode(bar: 0, base: Self.base), .attachDoorbell(address: Self.base)], descriptors: many, number: 1)
    #expect(answers == [.value(1), .value(0)])
    // Other tests open some meanwhile; sixty would be seen.
    #expect(openDescriptors() < count + 40)
    let attached = try #require(machine.state.withLock { $0.doorbells[Self.base] })
    event.signal()
    var value: UInt64 = 0
    #expect(unsafe readEvent(attached, &value) && value == 1)
  }

  @Test func noDoorbellIsAttachedTwice() throws {
    let answers = try serve(
      [.decode(bar: 0, base: Self.base), .attachDoorbell(address: Self.base), .attachDoorbell(address: Self.base)],
      descriptors: [event.number], number: 1)
    #expect(answers.prefix(2) == [.value(1), .value(0)] && isRefused(answers.last))
  }

  @Test func thereAreNotTooManyDoorbells() throws {
    _ = try serve([.decode(bar: 0, base: Self.base)], number: 1)
    var answers: [HostAnswer] = []
    for round in 0..<6 as Range<UInt64> {
      answers += try serve(
        (0..<50).map { .attachDoorbell(address: Self.base + 2 * (50 * round + $0)) }, descriptors: [event.number], number: UInt32(round + 2)
      )
    }
    #expect(answers.count == 300 && answers.filter { $0 == .value(0) }.count == 256 && machine.doorbells.count == 256)
  }

  @Test func onlyItsOwnDoorbellsAreDetached() throws {
    try machine.attach(event: 1, at: Self.base + 0x2000)
    let answers = try serve(
      [
        .decode(bar: 0, base: Self.base), .attachDoorbell(address: Self.base), .detachDoorbell(address: Self.base + 0x2000),
        .detachDoorbell(address: Self.base), .detachDoorbell(address: Self.base),
      ], descriptors: [event.number], number: 1)
    #expect(isRefused(answers[2]) && answers[3] == .value(0) && isRefused(answers[4]))
    #expect(machine.doorbells == [Self.base + 0x2000])
  }

  @Test func aDeviceThatMovesLeavesNoDoorbells() throws {
    _ = try serve(
      [
        .decode(bar: 0, base: Self.base), .decode(bar: 2, base: Self.base + 0x1_0000), .attachDoorbell(address: Self.base),
        .attachDoorbell(address: Self.base + 0x1_0000),
      ], descriptors: [event.number], number: 1)
    _ = try serve([.decode(bar: 0, base: Self.base + 0x10_0000)], number: 2)
    #expect(machine.doorbells == [Self.base + 0x1_0000])
    _ = try serve([.decode(bar: 2, base: nil)], number: 3)
    #expect(machine.doorbells.isEmpty)
    // What it does in good order fails, which it may ignore.
    let answers = try serve([.detachDoorbell(address: Self.base), .attachDoorbell(address: Self.base)], descriptors: [1], number: 4)
    #expect(answers.allSatisfy { isRefused($0) })
  }

  @Test func aDeviceWhoseMoveIsRefusedHasNoDoorbells() throws {
    machine.state.withLock { $0.forbidden = [Self.base + 0x10_0000] }
    let answers = try serve(
      [
        .decode(bar: 0, base: Self.base), .attachDoorbell(address: Self.base), .decode(bar: 0, base: Self.base + 0x10_0000),
        .attachDoorbell(address: Self.base + 0x10_0000),
      ], descriptors: [event.number], number: 1)
    #expect(answers[2] == .value(0) && isRefused(answers[3]) && machine.doorbells.isEmpty)
  }

  @Test func aStoppedDeviceHasNoDoorbells() throws {
    _ = try serve([.decode(bar: 0, base: Self.base), .attachDoorbell(address: Self.base)], descriptors: [event.number], number: 1)
    #expect(machine.doorbells.count == 1)
    proxy.stop(within: 0)
    #expect(machine.doorbells.isEmpty)
  }

  @Test func aMachineWithoutDoorbellsAttachesNone() throws {
    let (ours, theirs) = try PacketSocket.pair()
    let channel = DeviceChannel(name: "block1", connection: ours, logger: silent, patience: .milliseconds(0))
    let proxy = DeviceProxy(
      name: "block1", bars: proxy.bars, channel: channel, machine: MachineServices(doorbells: nil, messages: machine))
    proxy.connect(machine)
    for need in [HostRequest.decode(bar: 0, base: Self.base), .attachDoorbell(address: Self.base)] {
      try theirs.send(DeviceMessage.need(need).encoded, descriptors: [event.number])
    }
    try theirs.send(DeviceMessage.value(1, number: 1).encoded)
    #expect(proxy.read(offset: 0, width: 1) == 1)
    #expect(machine.doorbells.isEmpty)
  }

  // MARK: Vectors

  @Test func aVectorComesWithItsEvent() throws {
    try peer.send(DeviceMessage.need(.makeMessageInterrupt).encoded)
    try peer.send(DeviceMessage.value(0, number: 1).encoded)
    _ = proxy.read(offset: 0, width: 1)
    _ = try peer.receive(milliseconds: 0)
    guard case .packet(let answer) = try peer.receive(milliseconds: 0) else {
      Issue.record("no answer")
      return
    }
    #expect(try HostAnswer(answer.bytes) == .value(0) && answer.descriptors.count == 1)
    machine.vectors[0].event.signal()
    var value: UInt64 = 0
    #expect(unsafe readEvent(answer.descriptors[0].number, &value) && value == 1)
  }

  @Test func onlyItsOwnVectorsAreRouted() throws {
    let message = InterruptMessage(address: 0xfee0_0000, data: 0x41)
    let answers = try serve(
      [
        .route(vector: 0, message), .makeMessageInterrupt, .route(vector: 1, message), .route(vector: .max, message),
        .route(vector: 0, InterruptMessage(address: 0, data: 0)), .route(vector: 0, message),
      ], number: 1)
    #expect([0, 2, 3, 4].allSatisfy { isRefused(answers[$0]) } && answers[5] == .value(0))
    #expect(machine.vectors.count == 1 && machine.vectors[0].routes.withLock { $0 } == [message])
  }

  @Test func thereAreNotTooManyVectors() throws {
    var answers: [HostAnswer] = []
    for round in 0..<6 as Range<UInt32> {
      answers += try serve([HostRequest](repeating: .makeMessageInterrupt, count: 50), number: round + 1)
    }
    #expect(machine.vectors.count == 256 && answers.filter { isRefused($0) }.count == 44)
  }

  // MARK: The end

  @Test func aProxyThatIsGoneServesNothing() throws {
    let (ours, theirs) = try PacketSocket.pair()
    let channel = DeviceChannel(name: "block1", connection: ours, logger: silent, patience: .milliseconds(0))
    _ = DeviceProxy(name: "block1", bars: [], channel: channel, machine: machine.services)
    try theirs.send(DeviceMessage.need(.makeMessageInterrupt).encoded)
    try theirs.send(DeviceMessage.value(0, number: 1).encoded)
    #expect(channel.call(.resume) == .value(0, number: 1))
    #expect(machine.vectors.isEmpty)
  }

  @Test func aDeadDeviceReadsAsAllOnes() throws {
    #expect(shutdownBoth(peer))
    #expect(proxy.read(offset: 0, width: 1) == .max)
    #expect(proxy.readConfiguration(offset: 0, width: 4) == .max)
    proxy.write(offset: 0, width: 1, value: 0)
    proxy.stop(within: 0)
  }
}
