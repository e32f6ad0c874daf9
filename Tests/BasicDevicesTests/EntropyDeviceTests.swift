import BasicDevices
import GuestMemory
import Platform
import Testing
import Virtio
import VirtioTesting

@Suite struct EntropyDeviceTests {
  @Test(arguments: [false, true])
  func aBufferIsFilledWithRandomBytes(packed: Bool) throws {
    let features = ActivatedDevice.usualFeatures | (packed ? VirtioFeatures.packedRing : 0)
    try withActivatedDevice(EntropyDevice(), features: features) { driver in
      let first = try driver.perform(0, writable: [64])
      let second = try driver.perform(0, writable: [1, 30, 33], indirect: true)
      #expect(first.written == 64 && second.written == 64)
      #expect(first.bytes != second.bytes)
      // A byte is zero once in 256 times; 40 zeros in 128 bytes mean that some were not filled.
      #expect((first.bytes + second.bytes).filter { $0 == 0 }.count < 40)
    }
  }

  @Test func aHugeRequestGetsABoundedNumberOfBytes() throws {
    try withActivatedDevice(EntropyDevice()) { driver in
      let answer = try driver.perform(0, writable: [16 << 20, 16 << 20])
      #expect(answer.written == 64 << 10)
      let request = answer.request
      #expect(try driver.memory.read(count: 4096, at: GuestAddress(request.writable[0].address + (64 << 10))).allSatisfy { $0 == 0 })
    }
  }

  @Test func aRequestWithoutRoomGetsNothingAndTheNextOneIsServed() throws {
    try withActivatedDevice(EntropyDevice()) { driver in
      let without = try driver.perform(0, readable: [[1, 2, 3]])
      let with = try driver.perform(0, readable: [[1, 2, 3]], writable: [8])
      #expect(without.written == 0 && with.written == 8)
    }
  }

  @Test func readableBuffersStayAsTheyWere() throws {
    try withActivatedDevice(EntropyDevice()) { driver in
      let answer = try driver.perform(0, readable: [[1, 2, 3]], writable: [8])
      #expect(try driver.memory.read(count: 3, at: GuestAddress(answer.request.readable[0].address)) == [1, 2, 3])
    }
  }

  @Test func aBufferOutsideMemoryMakesTheDeviceAskForAReset() throws {
    try withActivatedDevice(EntropyDevice()) { driver in
      let split = try #require(driver.drivers[0] as? SplitDriver)
      try split.write(RawDescriptor(address: .max - 4, length: 64, flags: RawDescriptor.Flag.write), at: 0)
      try split.publish(0)
      driver.ring(0)
      _ = try driver.waitForReset()
    }
  }

  @Test func theRateIsBounded() throws {
    // Each request is the limit of one; the first spends what a sixteenth of a second allows.
    let device = EntropyDevice(EntropyConfiguration(bytesPerSecond: 16 * (64 << 10)))
    try withActivatedDevice(device) { driver in
      let start = monotonicNanoseconds()
      for _ in 0..<5 { _ = try driver.submit(0, writable: [64 << 10]) }
      for _ in 0..<5 { #expect(try driver.wait(0).written == 64 << 10) }
      #expect(monotonicNanoseconds() - start > 3 * 62_500_000)
    }
  }

  @Test func nothingIsWrittenWhileSuspendedOrAfterAReset() throws {
    let device = EntropyDevice()
    try withActivatedDevice(device) { driver in
      device.suspend()
      _ = try driver.submit(0, writable: [16])
      driver.interrupt.wait(milliseconds: 30)
      #expect(try driver.poll(0) == nil)
      #expect(try device.snapshot() == [])
      device.resume()
      #expect(try driver.wait(0).written == 16)
      device.reset()
      device.reset()
      _ = try driver.submit(0, writable: [16])
      driver.ring(0)
      driver.interrupt.wait(milliseconds: 30)
      #expect(try driver.poll(0) == nil)
      try driver.activate()
      #expect(try driver.perform(0, writable: [16]).written == 16)
    }
  }

  @Test func aDriverWithoutQueuesAndForeignStatesAreSurvived() throws {
    let device = EntropyDevice()
    try withActivatedDevice(device, queueSizes: [0]) { _ in }
    #expect(throws: DeviceStateError.self) { try device.restore([1]) }
    try device.restore([])
    #expect(device.readConfiguration(offset: .max, width: 8) == 0)
    device.writeConfiguration(offset: .max, width: 8, value: .max)
  }
}
