import Interrupts
import PCI
import Platform
import Synchronization
import Testing

@Suite struct MSIXTests {
  let messages = FakeMessages()

  private func makeMSIX(_ count: Int = 4) throws -> MSIX { try MSIX(name: "test", vectorCount: count, allocator: messages) }

  /// What a driver does to use a vector: address, data, unmask.
  private func program(_ msix: MSIX, _ vector: Int, data: UInt64, masked: Bool = false) {
    let entry = UInt64(vector * 16)
    msix.writeTable(offset: entry, width: 4, value: 0xfee0_1000)
    msix.writeTable(offset: entry + 4, width: 4, value: 0)
    msix.writeTable(offset: entry + 8, width: 4, value: data)
    msix.writeTable(offset: entry + 12, width: 4, value: masked ? 1 : 0)
  }

  @Test func vectorsStartMaskedAndTakeNothingFromTheMachine() throws {
    let msix = try makeMSIX()
    msix.setControl(0x8000)
    for vector in 0..<4 { #expect(msix.readTable(offset: UInt64(vector * 16 + 12), width: 4) == 1) }
    program(msix, 0, data: 0x40, masked: true)
    #expect(messages.made.isEmpty)
  }

  @Test func anUnmaskedVectorIsRoutedAndSends() throws {
    let msix = try makeMSIX()
    msix.setControl(0x8000)
    program(msix, 2, data: 0x41)
    #expect(messages.made.count == 1)
    #expect(messages.made[0].routes.withLock { $0 } == [InterruptMessage(address: 0xfee0_1000, data: 0x41)])
    msix.signal(vector: 2)
    #expect(messages.made[0].event.drain() == 1)
    msix.signal(vector: 1)
    #expect(messages.made[0].event.drain() == 0)
    #expect(msix.readPending(offset: 0, width: 8) == 0b10)
  }

  @Test func aMaskedVectorStaysPendingUntilItIsUnmasked() throws {
    let msix = try makeMSIX()
    msix.setControl(0x8000)
    program(msix, 1, data: 0x41)
    msix.writeTable(offset: 28, width: 4, value: 1)
    msix.signal(vector: 1)
    msix.signal(vector: 1)
    #expect(messages.made[0].event.drain() == 0)
    #expect(msix.readPending(offset: 0, width: 4) == 2)
    msix.writeTable(offset: 28, width: 4, value: 0)
    #expect(messages.made[0].event.drain() == 1)
    #expect(msix.readPending(offset: 0, width: 4) == 0)
    #expect(messages.made.count == 1)
    #expect(messages.made[0].routes.withLock { $0.count } == 1)
  }

  @Test func theFunctionMaskHoldsAllVectorsBack() throws {
    let msix = try makeMSIX()
    msix.setControl(0x8000)
    program(msix, 0, data: 0x40)
    msix.setControl(0xc000)
    msix.signal(vector: 0)
    #expect(messages.made[0].event.drain() == 0)
    #expect(msix.isEnabled)
    msix.setControl(0x8000)
    #expect(messages.made[0].event.drain() == 1)
  }

  @Test func whatIsSignalledBeforeEnablingIsSentAfterwards() throws {
    let msix = try makeMSIX()
    program(msix, 3, data: 0x43)
    #expect(messages.made.isEmpty)
    msix.signal(vector: 3)
    #expect(!msix.isEnabled)
    msix.setControl(0x8000)
    #expect(messages.made[0].event.drain() == 1)
  }

  @Test func aChangedMessageIsRoutedAnew() throws {
    let msix = try makeMSIX()
    msix.setControl(0x8000)
    program(msix, 0, data: 0x40)
    msix.writeTable(offset: 8, width: 4, value: 0x50)
    msix.writeTable(offset: 8, width: 4, value: 0x50)
    msix.writeTable(offset: 0, width: 8, value: 0x1_fee0_2003)
    #expect(msix.readTable(offset: 0, width: 8) == 0x1_fee0_2000)
    #expect(
      messages.made[0].routes.withLock { $0 } == [
        InterruptMessage(address: 0xfee0_1000, data: 0x40), InterruptMessage(address: 0xfee0_1000, data: 0x50),
        InterruptMessage(address: 0x1_fee0_2000, data: 0x50),
      ])
    #expect(messages.made.count == 1)
  }

  @Test func aMachineWithoutRoutesLosesNothing() throws {
    let msix = try makeMSIX()
    msix.setControl(0x8000)
    messages.refusesToMake.store(true, ordering: .relaxed)
    program(msix, 0, data: 0x40)
    msix.signal(vector: 0)
    #expect(msix.readPending(offset: 0, width: 4) == 1)
    messages.refusesToMake.store(false, ordering: .relaxed)
    messages.refusesToRoute.store(true, ordering: .relaxed)
    msix.writeTable(offset: 12, width: 4, value: 0)
    #expect(msix.readPending(offset: 0, width: 4) == 1)
    messages.refusesToRoute.store(false, ordering: .relaxed)
    msix.writeTable(offset: 12, width: 4, value: 0)
    #expect(messages.made.last?.event.drain() == 1)
    #expect(msix.readPending(offset: 0, width: 4) == 0)
  }

  @Test(arguments: [1, 3, 64, 65, 2048]) func everyAccessHasAnAnswer(count: Int) throws {
    let msix = try makeMSIX(count)
    let end = UInt64(count * 16)
    for offset in Array(0..<(min(end, 600) + 40)) + Array((max(end, 20) - 20)..<(end + 20)) + [0x1000, 1 << 40, .max - 3, .max] {
      for width in 0...9 {
        let isRight = (width == 4 || width == 8) && offset % UInt64(max(width, 1)) == 0 && offset < end
        let value = msix.readTable(offset: offset, width: width)
        if !isRight { #expect(value == .max) }
        msix.writeTable(offset: offset, width: width, value: .max)
        if !isRight { #expect(msix.readTable(offset: offset, width: width) == value) }
        _ = msix.readPending(offset: offset, width: width)
      }
    }
    for vector in [UInt16(count - 1), UInt16(clamping: count), 0xffff] { msix.signal(vector: vector) }
    #expect(msix.readPending(offset: UInt64((count - 1) / 64 * 8), width: 8) == 1 << UInt64((count - 1) % 64))
    #expect(msix.readPending(offset: MSIX.pendingSize(vectorCount: count), width: 8) == .max)
  }

  @Test func theNumberOfVectorsHasLimits() {
    #expect(throws: PCIError.badVectorCount(0)) { try makeMSIX(0) }
    #expect(throws: PCIError.badVectorCount(2049)) { try makeMSIX(2049) }
  }

  @Test func theCapabilityNamesSizeAndPlaces() throws {
    let msix = try makeMSIX(3)
    var space = PCIConfigurationSpace(identity: PCIIdentity(vendor: 1, device: 2, classCode: 0))
    let offset = try msix.addCapability(to: &space, table: .init(bar: 0, offset: 0x6000), pending: .init(bar: 1, offset: 0x7000))
    #expect(space.read(offset: offset, width: 4) == 0x0002_0011)
    #expect(space.read(offset: offset + 4, width: 4) == 0x6000)
    #expect(space.read(offset: offset + 8, width: 4) == 0x7001)
    _ = space.write(offset: offset, width: 4, value: .max)
    #expect(space.read(offset: offset, width: 4) == 0xc002_0011)
    msix.update(from: space, capability: offset)
    #expect(msix.isEnabled)
    #expect(throws: PCIError.self) {
      try msix.addCapability(to: &space, table: .init(bar: 0, offset: 0x6000), pending: .init(bar: 0, offset: 0x6028))
    }
    #expect(throws: PCIError.self) {
      try msix.addCapability(to: &space, table: .init(bar: 6, offset: 0x6000), pending: .init(bar: 0, offset: 0x7000))
    }
    #expect(throws: PCIError.self) {
      try msix.addCapability(to: &space, table: .init(bar: 0, offset: 0x6004), pending: .init(bar: 0, offset: 0x7000))
    }
  }

  @Test func aSnapshotKeepsTableAndPendingBits() throws {
    var space = PCIConfigurationSpace(identity: PCIIdentity(vendor: 1, device: 2, classCode: 0))
    let msix = try makeMSIX(3)
    let capability = try msix.addCapability(to: &space, table: .init(bar: 0, offset: 0), pending: .init(bar: 0, offset: 0x800))
    _ = space.write(offset: capability + 2, width: 2, value: 0x8000)
    msix.update(from: space, capability: capability)
    program(msix, 0, data: 0x40)
    program(msix, 1, data: 0x41, masked: true)
    msix.signal(vector: 1)
    let saved = msix.snapshot()
    let other = FakeMessages()
    let copy = try MSIX(name: "copy", vectorCount: 3, allocator: other)
    try copy.restore(saved, from: space, capability: capability)
    #expect(copy.snapshot() == saved)
    #expect(other.made.count == 1)
    copy.writeTable(offset: 28, width: 4, value: 0)
    #expect(other.made.last?.event.drain() == 1)
    #expect(throws: MalformedBytes.self) { try copy.restore(saved + [0], from: space, capability: capability) }
    #expect(throws: MalformedBytes.self) { try copy.restore(Array(saved.dropLast()), from: space, capability: capability) }
    #expect(throws: MalformedBytes.self) { try copy.restore([], from: space, capability: capability) }
    #expect(throws: PCIError.self) { try makeMSIX(4).restore(saved, from: space, capability: capability) }
  }

  @Test func signalsFromManyThreadsAreNotLostWhileTheGuestMasks() throws {
    let msix = try makeMSIX(1)
    msix.setControl(0x8000)
    program(msix, 0, data: 0x40)
    let box = try #require(messages.made.first)
    let sender = try PThread(name: "sender") {
      for _ in 0..<20_000 { msix.signal(vector: 0) }
    }
    let masker = try PThread(name: "masker") { [msix] in
      for round in 0..<5_000 { msix.writeTable(offset: 12, width: 4, value: UInt64(round & 1)) }
      msix.setControl(0xc000)
      msix.writeTable(offset: 12, width: 4, value: 0)
    }
    sender.join()
    masker.join()
    box.event.drain()
    msix.signal(vector: 0)
    #expect(box.event.drain() == 0)
    msix.setControl(0x8000)
    #expect(box.event.drain() == 1)
    #expect(msix.readPending(offset: 0, width: 8) == 0)
  }
}
