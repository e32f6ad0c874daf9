import BasicDevices
import GuestMemory
import Logging
import Platform
import Synchronization
import Testing
import Virtio
import VirtioTesting

@Suite struct PmemDeviceTests {
  /// What stands for the image: counts flushes, and fails them with an error number.
  private final class Storage: Sendable {
    private let state = Mutex((flushes: 0, code: Int32(0)))

    var flushes: Int { state.withLock { $0.flushes } }

    func fail(_ code: Int32) { state.withLock { $0.code = code } }

    func flush() -> Int32 {
      state.withLock { state in
        state.flushes += 1
        return state.code
      }
    }
  }

  private static let addresses: Range<UInt64> = 0x1_4000_0000..<0x1_4020_0000
  private static let flush: [UInt8] = [0, 0, 0, 0]
  private static let success: [UInt8] = [0, 0, 0, 0]
  private static let failure: [UInt8] = [0xff, 0xff, 0xff, 0xff]

  private let storage = Storage()
  private let device: PmemDevice

  init() {
    device = PmemDevice(
      addresses: Self.addresses, flush: { [storage] in storage.flush() },
      logger: Logger(label: "test") { _ in
        SwiftLogNoOpLogHandler()
      })
  }

  @Test func theConfigurationSpaceTellsWhereTheMemoryIs() {
    #expect(device.type.rawValue == 27 && device.features == 0 && device.queueSizes.count == 1)
    #expect(device.readConfiguration(offset: 0, width: 8) == 0x1_4000_0000)
    #expect(device.readConfiguration(offset: 8, width: 8) == 0x20_0000)
    #expect(device.readConfiguration(offset: 10, width: 1) == 0x20)
    device.writeConfiguration(offset: 0, width: 8, value: 0)
    #expect(device.readConfiguration(offset: 4, width: 4) == 1)
    #expect(device.readConfiguration(offset: 16, width: 8) == 0 && device.readConfiguration(offset: .max, width: 8) == 0)
  }

  @Test(arguments: [false, true]) func aFlushIsDoneAndAnswered(packed: Bool) throws {
    let features = ActivatedDevice.usualFeatures | (packed ? VirtioFeatures.packedRing : 0)
    try withActivatedDevice(device, features: features) { driver throws in
      #expect(try driver.perform(0, readable: [Self.flush], writable: [4]).bytes == Self.success)
      // Cut into pieces, as a driver may.
      #expect(try driver.perform(0, readable: [[0], [0, 0], [0]], writable: [1, 3], indirect: true).bytes == Self.success)
      #expect(storage.flushes == 2)
    }
  }

  @Test func aFlushThatFailsIsAnsweredSoAndTheNextMayWork() throws {
    try withActivatedDevice(device) { driver throws in
      storage.fail(5)
      for _ in 0..<3 { #expect(try driver.perform(0, readable: [Self.flush], writable: [4]).bytes == Self.failure) }
      storage.fail(0)
      #expect(try driver.perform(0, readable: [Self.flush], writable: [4]).bytes == Self.success)
    }
  }

  @Test(arguments: [[1, 0, 0, 0], [0, 0, 0, 1], [255, 255, 255, 255], [0, 0, 0], [0]] as [[UInt8]])
  func unknownAndShortRequestsFailAndDoNothing(request: [UInt8]) throws {
    try withActivatedDevice(device) { driver throws in
      #expect(try driver.perform(0, readable: [request], writable: [4]).bytes == Self.failure)
      #expect(try driver.perform(0, writable: [4]).bytes == Self.failure)
      #expect(storage.flushes == 0)
    }
  }

  @Test func whatFollowsTheTypeAndTheAnswerIsLeftAlone() throws {
    try withActivatedDevice(device) { driver throws in
      let answer = try driver.perform(0, readable: [Self.flush + [UInt8](repeating: 9, count: 20)], writable: [64])
      #expect(answer.written == 4 && answer.bytes == Self.success && storage.flushes == 1)
    }
  }

  @Test func aRequestWithoutRoomForItsAnswerDoesNothing() throws {
    try withActivatedDevice(device) { driver throws in
      #expect(try driver.perform(0, readable: [Self.flush]).written == 0)
      let short = try driver.perform(0, readable: [Self.flush], writable: [3])
      #expect(short.written == 0 && storage.flushes == 0)
      let room = GuestAddress(short.request.writable[0].address)
      #expect(try driver.memory.read(count: 3, at: room) == [0, 0, 0])
      #expect(try driver.perform(0, readable: [Self.flush], writable: [4]).bytes == Self.success)
    }
  }

  @Test func aBufferOutsideMemoryMakesTheDeviceAskForAReset() throws {
    try withActivatedDevice(device) { driver throws in
      let split = try #require(driver.drivers[0] as? SplitDriver)
      // The persistent memory itself is not memory for requests.
      try split.write(RawDescriptor(address: Self.addresses.lowerBound, length: 4, flags: RawDescriptor.Flag.write), at: 0)
      try split.publish(0)
      driver.ring(0)
      _ = try driver.waitForReset()
      #expect(storage.flushes == 0)
    }
  }

  @Test func nothingIsFlushedWhileSuspendedOrAfterAReset() throws {
    try withActivatedDevice(device) { driver throws in
      device.suspend()
      _ = try driver.submit(0, readable: [Self.flush], writable: [4])
      driver.interrupt.wait(milliseconds: 30)
      #expect(try driver.poll(0) == nil)
      #expect(try device.snapshot() == [] && storage.flushes == 0)
      device.resume()
      #expect(try driver.wait(0).bytes == Self.success)
      device.reset()
      device.reset()
      _ = try driver.submit(0, readable: [Self.flush], writable: [4])
      driver.ring(0)
      driver.interrupt.wait(milliseconds: 30)
      #expect(try driver.poll(0) == nil)
      try driver.activate()
      #expect(try driver.perform(0, readable: [Self.flush], writable: [4]).bytes == Self.success)
      #expect(storage.flushes == 2)
    }
  }

  @Test func aDriverWithoutQueuesAndForeignStatesAreSurvived() throws {
    try withActivatedDevice(device, queueSizes: [0]) { _ in }
    #expect(throws: DeviceStateError.self) { try device.restore([1]) }
    try device.restore([])
  }
}
