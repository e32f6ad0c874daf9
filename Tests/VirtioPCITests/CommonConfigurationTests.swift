import Testing
import Virtio

/// The common configuration structure, well and badly used (virtio 1.2, section 4.1.4.3).
@Suite struct CommonConfigurationTests {
  typealias Common = TestGuest.Common

  @Test func aDeviceAtRestShowsItsQueuesAndNothingElse() throws {
    let guest = try TestGuest()
    #expect(guest.status == 0)
    #expect(guest.load(Common.queueCount, 2) == 2)
    #expect(guest.load(Common.configurationVector, 2) == 0xffff)
    #expect(guest.load(Common.queueSize, 2) == 256)
    #expect(guest.load(Common.queueVector, 2) == 0xffff)
    #expect(guest.load(Common.queueEnable, 2) == 0)
    guest.store(Common.queueSelect, 2, 1)
    #expect(guest.load(Common.queueSize, 2) == 64)
    #expect(guest.load(Common.queueNotifyOffset, 2) == 1)
  }

  @Test func featuresOfDeviceAndTransportAreOffered() throws {
    let transport = VirtioFeatures.version1 | VirtioFeatures.indirectDescriptors | VirtioFeatures.eventIndex
    #expect(try TestGuest().offeredFeatures == 0b101 | transport)
    #expect(try TestGuest(packed: true).offeredFeatures == 0b101 | transport | VirtioFeatures.packedRing)
    // A device cannot offer what belongs to the transport.
    #expect(try TestGuest(FakeDevice(features: .max)).offeredFeatures == ~VirtioFeatures.reservedForTransport | transport)
  }

  @Test func selectorsAboveOneFindNoFeatures() throws {
    let guest = try TestGuest(packed: true)
    for select: UInt64 in [2, 3, 0x8000_0000, 0xffff_ffff] {
      guest.store(Common.deviceFeatureSelect, 4, select)
      #expect(guest.load(Common.deviceFeature, 4) == 0)
      guest.store(Common.driverFeatureSelect, 4, select)
      guest.store(Common.driverFeature, 4, 0xffff_ffff)
      #expect(guest.load(Common.driverFeature, 4) == 0)
    }
    guest.negotiate()
    #expect(guest.status == 11)
  }

  @Test func aDriverMayAcceptLessThanIsOffered() throws {
    let guest = try TestGuest()
    guest.start(VirtioFeatures.version1 | 1)
    #expect(guest.status == 15)
    #expect(guest.device.activation?.features == VirtioFeatures.version1 | 1)
  }

  @Test(arguments: [0, 1, VirtioFeatures.version1 | 2, VirtioFeatures.version1 | VirtioFeatures.packedRing, UInt64.max])
  func unacceptableFeaturesAreNotAgreedTo(features: UInt64) throws {
    let guest = try TestGuest()
    guest.negotiate(features)
    #expect(guest.status == 3)
    // A driver that goes on all the same gets no service.
    guest.setUpQueue(0)
    guest.setStatus(15)
    #expect(guest.status == 3)
    #expect(guest.device.activationCount == 0)
    // It may think again without a reset.
    guest.accept(VirtioFeatures.version1)
    guest.setStatus(15)
    #expect(guest.status == 15)
    #expect(guest.device.activationCount == 1)
  }

  @Test func featuresAreFrozenOnceAgreed() throws {
    let guest = try TestGuest()
    guest.negotiate(VirtioFeatures.version1 | 1)
    guest.accept(VirtioFeatures.version1 | 0b100)
    guest.setStatus(15)
    #expect(guest.device.activation?.features == VirtioFeatures.version1 | 1)
    guest.accept(.max)
    #expect(guest.load(Common.driverFeature, 4) == VirtioFeatures.version1 >> 32)
  }

  @Test func driverOKWithoutAgreementIsIgnored() throws {
    let guest = try TestGuest()
    guest.setStatus(7)
    #expect(guest.status == 3)
    #expect(guest.device.activationCount == 0)
  }

  @Test func statusBitsCannotBeTakenBack() throws {
    let guest = try TestGuest()
    guest.start()
    guest.setStatus(1)
    #expect(guest.status == 15)
    guest.setStatus(0xb0)
    #expect(guest.status == 15 | 0x80)
    #expect(guest.device.activationCount == 1)
  }

  @Test func aDriverCannotSetTheDevicesOwnBits() throws {
    let guest = try TestGuest()
    guest.setStatus(0x70)
    #expect(guest.status == 0)
  }

  @Test func aDriverThatGaveUpMustReset() throws {
    let guest = try TestGuest()
    guest.negotiate()
    guest.setStatus(0x80 | 11)
    guest.setStatus(15)
    #expect(guest.status == 0x80 | 11)
    guest.start()
    #expect(guest.status == 15)
  }

  @Test func sayingDriverOKTwiceActivatesOnce() throws {
    let guest = try TestGuest()
    guest.start()
    guest.setStatus(15)
    guest.setStatus(4)
    #expect(guest.device.activationCount == 1)
  }

  @Test func aQueueIsFrozenOnceEnabled() throws {
    let guest = try TestGuest()
    guest.negotiate()
    guest.setUpQueue(0, size: 32)
    let area = TestGuest.area(0)
    guest.store(Common.queueSize, 2, 128)
    guest.store(Common.descriptors, 4, 0xdead_0000)
    guest.store(Common.driverArea + 4, 4, 0xdead_0000)
    guest.store(Common.deviceArea, 8, .max)
    guest.store(Common.queueEnable, 2, 0)
    #expect(guest.load(Common.queueSize, 2) == 32)
    #expect(guest.load(Common.descriptors, 8) == area.descriptors)
    #expect(guest.load(Common.driverArea, 8) == area.driver)
    #expect(guest.load(Common.deviceArea, 8) == area.device)
    #expect(guest.load(Common.queueEnable, 2) == 1)
    guest.setStatus(15)
    #expect(guest.device.activation?.queues[0]?.size == 32)
  }

  @Test func queuesAreFrozenOnceTheDriverIsReady() throws {
    let guest = try TestGuest()
    guest.negotiate()
    guest.setUpQueue(0)
    guest.setStatus(15)
    guest.setUpQueue(1)
    #expect(guest.load(Common.queueEnable, 2) == 0)
    #expect(guest.device.activation?.queues[1] == nil)
    #expect(guest.doorbells.attached == [guest.base + 0x3000])
  }

  @Test(arguments: [UInt64(2), 3, 0x7fff, 0xffff]) func aQueueThatIsNotThereHasNoSizeAndTakesNothing(queue: UInt64) throws {
    let guest = try TestGuest()
    guest.store(Common.queueSelect, 2, queue)
    for offset in [Common.queueSize, Common.queueVector, Common.queueEnable, Common.descriptors, Common.driverArea, Common.deviceArea] {
      guest.store(offset, 2, 1)
    }
    #expect(guest.load(Common.queueSize, 2) == 0)
    #expect(guest.load(Common.queueEnable, 2) == 0)
    #expect(guest.load(Common.queueVector, 2) == 0xffff)
    #expect(guest.load(Common.descriptors, 8) == 0)
    guest.negotiate()
    guest.setUpQueue(queue)
    guest.setStatus(15)
    #expect(guest.device.activation?.queues.allSatisfy { $0 == nil } == true)
  }

  @Test func vectorsThatAreNotThereCountAsNone() throws {
    let guest = try TestGuest()
    for vector: UInt64 in [3, 4, 255, 0x8000, 0xfffe] {
      guest.store(Common.configurationVector, 2, vector)
      #expect(guest.load(Common.configurationVector, 2) == 0xffff)
      guest.store(Common.queueVector, 2, vector)
      #expect(guest.load(Common.queueVector, 2) == 0xffff)
    }
    guest.store(Common.configurationVector, 2, 0)
    guest.store(Common.queueVector, 2, 2)
    #expect(guest.load(Common.configurationVector, 2) == 0)
    #expect(guest.load(Common.queueVector, 2) == 2)
  }

  @Test func fieldsCanBeReachedInPartsAndAddressesWhole() throws {
    let guest = try TestGuest()
    guest.store(Common.descriptors, 8, 0x1122_3344_5566_7788)
    #expect(guest.load(Common.descriptors, 4) == 0x5566_7788)
    #expect(guest.load(Common.descriptors + 4, 4) == 0x1122_3344)
    #expect(guest.load(Common.descriptors + 6, 2) == 0x1122)
    guest.store(Common.descriptors + 1, 1, 0xaa)
    #expect(guest.load(Common.descriptors, 8) == 0x1122_3344_5566_aa88)
    #expect(guest.load(0, 8) == guest.load(4, 4) << 32)
  }

  @Test func accessesAcrossFieldsAreRefused() throws {
    let guest = try TestGuest()
    let before = (0..<0x38).map { guest.load($0, 1) }
    for (offset, width) in [
      (0x10, 4), (0x14, 2), (0x14, 4), (0x15, 2), (0x12, 4), (0x10, 8), (0x18, 8), (0x1e, 8), (0x24, 8), (0x02, 4), (0x22, 4),
    ] {
      #expect(guest.load(UInt64(offset), width) == .max >> UInt64(64 - 8 * width))
      guest.store(UInt64(offset), width, 0x0101_0101_0101_0101)
    }
    #expect((0..<0x38).map { guest.load($0, 1) } == before)
  }
}
