import Bus
import GuestMemory
import PCI
import Platform
import Synchronization
import Testing
import Virtio

/// The device's life behind the transport: capabilities, activation, doorbells, reset.
@Suite struct VirtioPCIDeviceTests {
  typealias Common = TestGuest.Common

  @Test func identityFollowsTheDeviceType() throws {
    for (type, classCode): (UInt16, UInt32) in [(2, 0x01_8000), (3, 0x07_8000), (4, 0xff_0000), (999, 0xff_0000)] {
      let guest = try TestGuest(FakeDevice(type: VirtioDeviceType(rawValue: type)))
      #expect(guest.configuration(0, 4) == 0x1af4 | UInt32(0x1040 + type) << 16)
      #expect(guest.configuration(8, 4) == classCode << 8 | 1)
      #expect(guest.configuration(0x2c, 4) == 0x1af4 | UInt32(0x1040 + type) << 16)
      #expect(guest.configuration(0x3c, 2) == 0x0100 | 17)
    }
  }

  @Test func capabilitiesLeadToTheParts() throws {
    let guest = try TestGuest()
    let expected: [(kind: UInt32, offset: UInt32, length: UInt32, size: UInt32)] = [
      (1, 0x0, 0x38, 16), (3, 0x1000, 1, 16), (4, 0x2000, 0x1000, 16), (2, 0x3000, 8, 20), (5, 0, 0, 20),
    ]
    for part in expected {
      let capability = try #require(guest.capabilities[part.kind])
      #expect(guest.configuration(capability + 2, 1) == part.size)
      #expect(guest.configuration(capability + 4, 1) == 0)
      #expect(guest.configuration(capability + 8, 4) == part.offset)
      #expect(guest.configuration(capability + 12, 4) == part.length)
    }
    #expect(guest.configuration(try #require(guest.capabilities[2]) + 16, 4) == 4)
    let vectors = try #require(guest.capabilities[0x11])
    #expect(guest.configuration(vectors + 2, 2) == 2)
    #expect(guest.configuration(vectors + 4, 4) == 0x6000)
    #expect(guest.configuration(vectors + 8, 4) == 0x7000)
  }

  @Test func aDriverThatIsReadyStartsTheDevice() throws {
    let guest = try TestGuest()
    guest.start()
    let activation = try #require(guest.device.activation)
    #expect(activation.queues.map { $0?.size } == [16, 16])
    #expect(activation.queues.map { $0?.index } == [0, 1])
    #expect(guest.doorbells.attached == [guest.base + 0x3000, guest.base + 0x3004])
  }

  @Test func resettingStopsTheDeviceAndForgetsTheDriver() throws {
    let guest = try TestGuest()
    guest.enableVectors()
    guest.start()
    guest.store(Common.configurationVector, 2, 0)
    let resets = guest.device.resetCount
    guest.setStatus(0)
    #expect(guest.status == 0)
    #expect(guest.device.resetCount == resets + 1)
    #expect(guest.doorbells.attached.isEmpty)
    #expect(guest.load(Common.configurationVector, 2) == 0xffff)
    #expect(guest.load(Common.queueSize, 2) == 256)
    #expect(guest.load(Common.queueVector, 2) == 0xffff)
    #expect(guest.load(Common.queueEnable, 2) == 0)
    #expect(guest.load(Common.descriptors, 8) == 0)
    guest.store(Common.driverFeatureSelect, 4, 1)
    #expect(guest.load(Common.driverFeature, 4) == 0)
  }

  @Test func aDriverCanBeLoadedAgainAndAgain() throws {
    let guest = try TestGuest()
    for round in 1...5 {
      guest.start()
      #expect(guest.status == 15)
      #expect(guest.device.activationCount == round)
      #expect(guest.doorbells.attached.count == 2)
      guest.setStatus(0)
      #expect(guest.doorbells.attached.isEmpty)
    }
    // Without a reset in between, as after a crash kernel's start, the reset is the new driver's first step.
    guest.start()
    guest.start()
    #expect(guest.status == 15)
    #expect(guest.device.activationCount == 7)
  }

  @Test func notificationsCountFromDriverOKToReset() throws {
    let guest = try TestGuest(hasRegistrar: false)
    guest.negotiate()
    guest.setUpQueue(0)
    guest.kick(0)
    guest.setStatus(15)
    let doorbell = try #require(guest.device.activation?.queues[0]?.doorbell)
    #expect(doorbell.drain() == 0)
    guest.kick(0)
    #expect(doorbell.drain() == 1)
    for (offset, width): (UInt64, Int) in [(0x3000, 1), (0x3000, 4), (0x3000, 8)] {
      guest.store(offset, width, .max)
      #expect(doorbell.drain() == 1)
    }
    for offset: UInt64 in [0x3001, 0x3002, 0x3008, 0x5ffc, 0x5fff] { guest.store(offset, 1, 0) }
    #expect(doorbell.drain() == 0)
    guest.setStatus(0)
    guest.kick(0)
    #expect(doorbell.drain() == 0)
  }

  @Test func doorbellsFollowTheRange() throws {
    let guest = try TestGuest()
    guest.start()
    guest.configure(0x10, 4, 0xd123_8000)
    #expect(guest.doorbells.attached == [0xd123_b000, 0xd123_b004])
    guest.configure(4, 2, 0)
    #expect(guest.doorbells.attached.isEmpty)
    guest.configure(4, 2, 2)
    #expect(guest.doorbells.attached == [0xd123_b000, 0xd123_b004])
    // To where there is no place: into RAM.
    guest.configure(0x10, 4, 0x8000)
    #expect(guest.doorbells.attached.isEmpty)
    guest.configure(0x10, 4, UInt32(guest.base))
    #expect(guest.doorbells.attached == [guest.base + 0x3000, guest.base + 0x3004])
    #expect(guest.status == 15)
  }

  @Test func aMachineThatRefusesDoorbellsIsServedOverTheBus() throws {
    let guest = try TestGuest()
    guest.doorbells.refuses.store(true, ordering: .relaxed)
    guest.start()
    #expect(guest.status == 15)
    guest.kick(1)
    #expect(guest.device.activation?.queues[1]?.doorbell.drain() == 1)
    guest.setStatus(0)
    #expect(guest.status == 0)
  }

  /// Every way to get a queue wrong (table of bug classes, "Ring addresses").
  @Test(arguments: [
    (size: UInt64(0), descriptors: UInt64(0x1000), driver: UInt64(0x4000), device: UInt64(0x5000)),
    (3, 0x1000, 0x4000, 0x5000), (512, 0x1000, 0x4000, 0x5000), (0xffff, 0x1000, 0x4000, 0x5000),
    (16, 0x1001, 0x4000, 0x5000), (16, 0x1000, 0x4001, 0x5000), (16, 0x1000, 0x4000, 0x5002),
    (16, 0x10_0000, 0x4000, 0x5000), (16, 0x1000, 0xf_fff0, 0x5000), (16, 0x1000, 0x4000, 0xffff_ffff_ffff_fff0),
    (16, 0xffff_ffff_ffff_fff0, 0x4000, 0x5000), (16, 0x1000, 0x1000, 0x5000), (16, 0x1000, 0x4000, 0x1010),
    (16, 0xd000_0000, 0x4000, 0x5000), (16, 0xfee0_0000, 0x4000, 0x5000), (16, 0, 0, 0),
  ]) func aQueueThatCannotBeIsAnErrorTheDriverSees(queue: (size: UInt64, descriptors: UInt64, driver: UInt64, device: UInt64)) throws {
    let guest = try TestGuest()
    guest.enableVectors()
    guest.negotiate()
    guest.store(Common.configurationVector, 2, 0)
    guest.store(Common.queueSize, 2, queue.size)
    guest.store(Common.descriptors, 8, queue.descriptors)
    guest.store(Common.driverArea, 8, queue.driver)
    guest.store(Common.deviceArea, 8, queue.device)
    guest.store(Common.queueEnable, 2, 1)
    guest.setStatus(15)
    #expect(guest.status == 15 | 0x40)
    #expect(guest.messages.sent(0x40) == 1)
    #expect(guest.device.activationCount == 0)
    #expect(guest.doorbells.attached.isEmpty)
    guest.start()
    #expect(guest.status == 15)
  }

  @Test func enablingWithoutAddressesIsAnErrorTheDriverSees() throws {
    let guest = try TestGuest()
    guest.negotiate()
    guest.store(Common.queueEnable, 2, 1)
    guest.setStatus(15)
    #expect(guest.status == 15 | 0x40)
  }

  @Test func aDeviceThatCannotStartAsksForAReset() throws {
    let guest = try TestGuest()
    guest.device.refuses.store(true, ordering: .relaxed)
    guest.start()
    #expect(guest.status == 15 | 0x40)
    #expect(guest.doorbells.attached.isEmpty)
    guest.device.refuses.store(false, ordering: .relaxed)
    guest.start()
    #expect(guest.status == 15)
  }

  @Test func theDevicesConfigurationIsReachedAtAnyWidth() throws {
    let guest = try TestGuest()
    #expect(guest.load(0x2000, 8) == 0x0807_0605_0403_0201)
    #expect(guest.load(0x2002, 2) == 0x0403)
    #expect(guest.load(0x2003, 4) == 0x0706_0504)
    #expect(guest.load(0x2008, 8) == 0)
    #expect(guest.load(0x2ffe, 4) == 0xffff_ffff)
    guest.store(0x2001, 2, 0xffff_beef)
    #expect(guest.load(0x2000, 4) == 0x04be_ef01)
  }

  @Test func theConfigurationGenerationCountsChanges() throws {
    let guest = try TestGuest()
    guest.start()
    let before = guest.load(Common.generation, 1)
    _ = guest.load(0x2000, 8)
    #expect(guest.load(Common.generation, 1) == before)
    for _ in 0..<300 { guest.device.activation?.interrupt.signalConfigurationChange() }
    #expect(guest.load(Common.generation, 1) == (before + 300) & 0xff)
  }

  @Test func aDeviceWithManyQueuesSharesVectors() throws {
    let guest = try TestGuest(FakeDevice(queueSizes: [UInt16](repeating: 8, count: 300)))
    #expect(guest.configuration(try #require(guest.capabilities[0x11]) + 2, 2) == 255)
    guest.store(Common.queueSelect, 2, 299)
    #expect(guest.load(Common.queueSize, 2) == 8)
    #expect(throws: PCIError.self) { try TestGuest(FakeDevice(queueSizes: [UInt16](repeating: 8, count: 3073))) }
  }

  @Test func stoppingLeavesNothingBehind() throws {
    let guest = try TestGuest()
    guest.start()
    guest.transport.stop()
    #expect(guest.doorbells.attached.isEmpty)
    #expect(guest.load(Common.status, 1) == 0xff)
    #expect(guest.device.resetCount > 0)
    guest.transport.stop()
  }
}
