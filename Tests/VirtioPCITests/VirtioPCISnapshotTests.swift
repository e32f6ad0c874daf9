import PCI
import Platform
import Synchronization
import Testing
import Virtio

@Suite struct VirtioPCISnapshotTests {
  typealias Common = TestGuest.Common

  private func running() throws -> TestGuest {
    let guest = try TestGuest()
    guest.enableVectors()
    guest.start()
    guest.store(Common.configurationVector, 2, 0)
    return guest
  }

  @Test func aRestoredDeviceGoesOn() throws {
    let guest = try running()
    let saved = try guest.transport.snapshot()
    let copy = try TestGuest(enabled: false)
    try copy.transport.restore(saved)
    #expect(copy.status == 15)
    #expect(copy.device.activation?.queues.map { $0?.size } == [16, 16])
    #expect(copy.device.activation?.queues[0]?.doorbell.drain() == 1)
    #expect(copy.device.state.withLock { $0.restored } == [1, 2, 3, 4, 5, 6, 7, 8])
    #expect(copy.doorbells.attached == [copy.base + 0x3000, copy.base + 0x3004])
    copy.device.activation?.interrupt.signalUsed(queue: 1)
    #expect(copy.messages.sent(0x42) == 1)
    copy.device.activation?.interrupt.signalConfigurationChange()
    #expect(copy.messages.sent(0x40) == 1)
    #expect(copy.load(Common.queueVector, 2) == guest.load(Common.queueVector, 2))
  }

  @Test func aDeviceAtRestStaysAtRest() throws {
    let guest = try TestGuest()
    let copy = try TestGuest()
    copy.start()
    try copy.transport.restore(try guest.transport.snapshot())
    #expect(copy.status == 0)
    #expect(copy.doorbells.attached.isEmpty)
    #expect(try copy.transport.snapshot() == guest.transport.snapshot())
  }

  @Test func aDamagedSnapshotIsRefusedOrHarmless() throws {
    let saved = try running().transport.snapshot()
    let copy = try TestGuest()
    for length in 0..<saved.count {
      #expect(throws: (any Error).self) { try copy.transport.restore(Array(saved.prefix(length))) }
      #expect(copy.device.state.withLock { $0.activations.isEmpty })
    }
    #expect(throws: MalformedBytes.self) { try copy.transport.restore(saved + [0]) }
    for index in saved.indices {
      for bit in 0..<8 {
        var damaged = saved
        damaged[index] ^= 1 << UInt8(bit)
        let activations = copy.device.activationCount
        try? copy.transport.restore(damaged)
        let status = copy.transport.read(offset: Common.status, width: 1)
        let (isServed, isReady, needsReset) = (copy.device.activationCount > activations, status & 4 != 0, status & 64 != 0)
        #expect(!isServed || isReady, "byte \(index), bit \(bit): served without a driver")
        #expect(isServed || !isReady || needsReset, "byte \(index), bit \(bit): a driver waits for good")
        #expect(status & 0x30 == 0, "byte \(index), bit \(bit): reserved bits of the status")
      }
    }
    try copy.transport.restore(saved)
    #expect(copy.status == 15)
  }

  @Test func aSnapshotOfAnotherDeviceIsRefused() throws {
    let saved = try running().transport.snapshot()
    for device in [FakeDevice(type: .console), FakeDevice(features: 1), FakeDevice(queueSizes: [256])] {
      #expect(throws: PCIError.self) { try TestGuest(device).transport.restore(saved) }
    }
  }
}
