import BasicDevices
import Platform
import Synchronization
import Testing
import Virtio
import VirtioTesting

private let receive = 0, transmit = 1

/// An output that remembers what it was given, and can pretend that nobody reads.
private final class RecordingOutput: ByteOutput {
  private let state = Mutex<(bytes: [UInt8], room: Int, handler: (@Sendable () -> Void)?)>(([], .max, nil))

  var bytes: [UInt8] { state.withLock { $0.bytes } }

  func write(_ byte: UInt8) -> Bool { write([byte]) }
  func write(_ bytes: [UInt8]) -> Bool {
    state.withLock { state in
      state.bytes += bytes
      state.room -= min(bytes.count, state.room)
      return state.room > 0
    }
  }
  func onRoom(_ handler: @escaping @Sendable () -> Void) { state.withLock { $0.handler = handler } }
  func finish(milliseconds: Int32) {}

  /// From now on there is room for so many bytes.
  func makeRoom(_ count: Int) {
    let handler = state.withLock { state in
      state.room = count
      return state.handler
    }
    handler?()
  }
}

/// A driver that does not accept VIRTIO_CONSOLE_F_MULTIPORT.
private func withPlainDriver<Result>(
  _ device: ConsoleDevice, features: UInt64 = ActivatedDevice.usualFeatures, queueSizes: [UInt16] = [128, 128, 0, 0],
  _ body: (ActivatedDevice) throws -> Result
) throws -> Result {
  try withActivatedDevice(device, features: features, deviceFeatures: ~2, queueSizes: queueSizes, body)
}

private func pattern(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) } }

@Suite struct ConsoleDeviceTests {
  private let output = RecordingOutput()

  @Test(arguments: [false, true])
  func whatTheDriverSendsIsPrintedInOrder(packed: Bool) throws {
    let features = ActivatedDevice.usualFeatures | (packed ? VirtioFeatures.packedRing : 0)
    try withPlainDriver(ConsoleDevice(output: output), features: features) { driver in
      let done = try driver.perform(transmit, readable: [Array("hel".utf8), Array("lo".utf8)], indirect: true)
      #expect(done.written == 0)
      _ = try driver.perform(transmit, readable: [Array(", world".utf8)], writable: [10])
      #expect(output.bytes == Array("hello, world".utf8))
    }
  }

  @Test func inputFillsTheDriversBuffersAndAShortOneIsNoLoss() throws {
    let device = ConsoleDevice(output: output)
    try withPlainDriver(device) { driver in
      for size in [1, 1, 3, 100] { _ = try driver.submit(receive, writable: [size]) }
      #expect(device.receive(ArraySlice("hello, world".utf8)) == 12)
      var received: [[UInt8]] = []
      while received.joined().count < 12 { received.append(try driver.wait(receive).bytes) }
      #expect(received.map { String(decoding: $0, as: UTF8.self) } == ["h", "e", "llo", ", world"])
    }
  }

  @Test func inputWaitsForADriverAndForItsBuffers() throws {
    let device = ConsoleDevice(output: output)
    let room = Atomic<Int>(0)
    device.onReceiveRoom { room.add(1, ordering: .relaxed) }
    #expect(device.receive([1]) == 0)
    try withPlainDriver(device) { driver in
      #expect(room.load(ordering: .relaxed) == 1)
      var offered = pattern(10_000)[...]
      offered = offered.dropFirst(device.receive(offered))
      #expect(offered.count == 10_000 - 4096)
      #expect(device.receive(offered) == 0)
      var received: [UInt8] = []
      while received.count < 10_000 {
        _ = try driver.submit(receive, writable: [100, 11])
        received += try driver.wait(receive).bytes
        if room.exchange(0, ordering: .relaxed) > 0 { offered = offered.dropFirst(device.receive(offered)) }
      }
      #expect(received == pattern(10_000))
    }
  }

  @Test func aPasteOf100KiBThroughOneByteBuffersArrivesWhole() throws {
    let device = ConsoleDevice(output: output)
    let pipe = try TestPipe()
    let pump = try InputPump(descriptor: pipe.readEnd.number, receiver: device)
    let writer = try pipe.writeInBackground(pattern(100 << 10))
    try withPlainDriver(device) { driver in
      var received: [UInt8] = []
      for _ in 0..<100 { _ = try driver.submit(receive, writable: [1]) }
      while received.count < 100 << 10 {
        // Most buffers of one byte, some of a page.
        let isLarge = received.count % 64 == 0
        received += try driver.wait(receive).bytes
        _ = try driver.submit(receive, writable: [isLarge ? 4096 : 1])
      }
      #expect(received == pattern(100 << 10))
    }
    writer.join()
    pump.stop()
  }

  @Test func aBufferThatTheDeviceCannotWriteComesBackEmpty() throws {
    let device = ConsoleDevice(output: output)
    try withPlainDriver(device) { driver in
      _ = try driver.submit(receive, readable: [[1, 2]])
      _ = try driver.submit(receive, writable: [8])
      #expect(device.receive([7]) == 1)
      #expect(try driver.wait(receive).written == 0)
      #expect(try driver.wait(receive).bytes == [7])
      #expect(output.bytes.isEmpty)
    }
  }

  @Test func anOutputWithoutRoomHoldsTheDriversBuffersAndNothingIsLost() throws {
    let device = ConsoleDevice(output: output)
    output.makeRoom(1)
    let text = pattern(100_000)
    try withPlainDriver(device) { driver in
      _ = try driver.submit(transmit, readable: [Array(text[..<9000])])
      _ = try driver.submit(transmit, readable: [Array(text[9000...])])
      driver.interrupt.wait(milliseconds: 50)
      #expect(try driver.poll(transmit) == nil)
      #expect(output.bytes.count == 4096, "one piece beyond the room")
      output.makeRoom(5000)
      _ = try driver.wait(transmit)
      #expect(output.bytes.count == 9000 + 4096, "until there was no room")
      output.makeRoom(.max)
      _ = try driver.wait(transmit)
      #expect(output.bytes == text)
    }
  }

  @Test func fullRingsInBothDirectionsDrainAgain() throws {
    let device = ConsoleDevice(output: output)
    output.makeRoom(1)
    try withPlainDriver(device) { driver in
      for _ in 0..<128 { _ = try driver.submit(transmit, readable: [pattern(100)]) }
      for _ in 0..<128 { _ = try driver.submit(receive, writable: [10]) }
      #expect(throws: TestingError.self) { try driver.submit(receive, writable: [10]) }
      #expect(device.receive(ArraySlice(pattern(1280))) == 1280)
      for _ in 0..<128 { #expect(try driver.wait(receive).written == 10) }
      output.makeRoom(.max)
      for _ in 0..<128 { _ = try driver.wait(transmit) }
      #expect(output.bytes.count == 12_800)
      #expect(device.receive([1]) == 1)
      _ = try driver.submit(receive, writable: [10])
      #expect(try driver.wait(receive).bytes == [1])
    }
  }

  @Test func aResetWhileTheOutputIsBlockedEndsAtOnceAndTheNextDriverWorks() throws {
    let device = ConsoleDevice(output: output)
    output.makeRoom(1)
    try withPlainDriver(device) { driver in
      _ = try driver.submit(transmit, readable: [pattern(20_000)])
      driver.interrupt.wait(milliseconds: 20)
      device.reset()
      let printed = output.bytes.count
      output.makeRoom(.max)
      #expect(output.bytes.count == printed)
      try driver.activate()
      _ = try driver.perform(transmit, readable: [[1, 2, 3]])
      #expect(output.bytes.suffix(3) == [1, 2, 3])
      #expect(output.bytes.count == printed + 3)
    }
  }

  @Test func theEmergencyRegisterPrintsBeforeADriverIsReady() {
    let device = ConsoleDevice(output: output)
    for byte in "panic".utf8 { device.writeConfiguration(offset: 8, width: 4, value: UInt64(byte)) }
    for offset in [0, 4, 7, 9, .max] as [UInt64] { device.writeConfiguration(offset: offset, width: 8, value: .max) }
    #expect(output.bytes == Array("panic".utf8))
    #expect(device.features == 1 << 2 | 1 << 1)
  }

  @Test func theTerminalsSizeIsShownAndItsChangeIsTold() throws {
    let device = ConsoleDevice(output: output, size: ConsoleSize(columns: 80, rows: 25))
    #expect(device.features & 1 == 1)
    #expect(device.readConfiguration(offset: 0, width: 8) == 80 | 25 << 16 | 1 << 32)
    try withPlainDriver(device) { driver in
      device.resize(ConsoleSize(columns: 132, rows: 50))
      #expect(driver.interrupt.record.configurationChanges == 1)
    }
    #expect(device.readConfiguration(offset: 0, width: 2) == 132)
    #expect(device.readConfiguration(offset: 2, width: 2) == 50)
    #expect(device.readConfiguration(offset: .max, width: 8) == 0)
  }

  @Test func aSnapshotKeepsInputAndTheMiddleOfABuffer() throws {
    let device = ConsoleDevice(output: output)
    output.makeRoom(1)
    try withPlainDriver(device) { driver in
      #expect(device.receive([1, 2, 3]) == 3)
      _ = try driver.submit(transmit, readable: [pattern(6000)])
      while output.bytes.isEmpty { driver.interrupt.wait(milliseconds: 1) }
      device.suspend()
      let state = try device.snapshot()
      let second = RecordingOutput()
      let restored = ConsoleDevice(output: second)
      try restored.restore(state)
      try withPlainDriver(restored) { driver in
        _ = try driver.perform(transmit, readable: [pattern(6000)])
        #expect(second.bytes == Array(pattern(6000)[4096...]))
        #expect(try driver.perform(receive, writable: [10]).bytes == [1, 2, 3])
      }
      device.resume()
    }
  }

  @Test func damagedSnapshotsAreRefused() throws {
    let device = ConsoleDevice(output: output)
    let good = try device.snapshot()
    for count in 0..<good.count { #expect(throws: DeviceStateError.self) { try device.restore(Array(good[..<count])) } }
    #expect(throws: DeviceStateError.self) { try device.restore([1] + good.dropFirst()) }
    #expect(throws: DeviceStateError.self) { try device.restore(good + [UInt8](repeating: 0, count: 4097)) }
    try device.restore([2] + [UInt8](repeating: 0xff, count: 9))
    try withPlainDriver(device) { driver in _ = try driver.perform(transmit, readable: [[1]]) }
  }

  @Test func aBrokenTransmitQueueLeavesInputWorking() throws {
    let device = ConsoleDevice(output: output)
    try withPlainDriver(device) { driver in
      let split = try #require(driver.drivers[transmit] as? SplitDriver)
      try split.publish(5000)
      driver.ring(transmit)
      _ = try driver.waitForReset()
      _ = try driver.submit(receive, writable: [4])
      #expect(device.receive([9]) == 1)
      let deadline = monotonicNanoseconds() + 5_000_000_000
      var completion: ActivatedDevice.Completion?
      while completion == nil, monotonicNanoseconds() < deadline { completion = try driver.poll(receive) }
      #expect(completion?.bytes == [9])
    }
  }

  @Test func aDriverWithOneQueueOrNoneIsSurvived() throws {
    for sizes in [[0, 0, 0, 0], [0, 8, 0, 8], [8, 0, 8, 0]] as [[UInt16]] {
      let device = ConsoleDevice(output: output)
      try withPlainDriver(device, queueSizes: sizes) { _ in _ = device.receive([1]) }
    }
  }

  @Test("A reset does not wait for chains of any length, though the output takes them all") func endlessChains() throws {
    let device = ConsoleDevice(output: NullOutput())
    try withPlainDriver(device) { guest in
      let driver = try #require(guest.drivers[transmit] as? SplitDriver)
      // 64 chains of 2 GiB, all of it the same memory.
      let table = (0..<128).map { RawDescriptor(address: 4096, length: 16 << 20, flags: $0 == 127 ? 0 : 1, link: UInt16($0 + 1)) }
      let address = try driver.writeTable(table)
      for head in 0..<64 {
        try driver.write(RawDescriptor(address: address, length: UInt32(16 * table.count), flags: 4, link: 0), at: head)
        try driver.publish(UInt16(head))
      }
      guest.ring(transmit)
      device.reset()
      #expect(try driver.usedRing().index < 64)
    }
  }
}
