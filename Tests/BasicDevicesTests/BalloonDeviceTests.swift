import BasicDevices
import GuestMemory
import Platform
import Synchronization
import Testing
import Virtio
import VirtioTesting

private let inflate = 0, deflate = 1, statistics = 2, reporting = 3
/// FREE pages lie above the test driver's own.
private let firstPage: UInt32 = 0x7000

private func pageNumbers(_ numbers: [UInt32]) -> [UInt8] { numbers.flatMap { number in (0..<4).map { UInt8(number >> (8 * $0) & 0xff) } } }

private func statistic(_ tag: UInt16, _ value: UInt64) -> [UInt8] {
  [UInt8(tag & 0xff), UInt8(tag >> 8)] + (0..<8).map { UInt8(value >> (8 * $0) & 0xff) }
}

extension ActivatedDevice {
  /// Fills pages with something that is not zero.
  fileprivate func fill(_ pages: Range<UInt32>) throws {
    for page in pages { try memory.write([UInt8](repeating: 0xa5, count: 4096), at: GuestAddress(UInt64(page) * 4096)) }
  }

  /// Whether each page is as it was filled.
  fileprivate func areFilled(_ pages: Range<UInt32>) throws -> [Bool] {
    try pages.map { page in
      let bytes = try memory.read(count: 4096, at: GuestAddress(UInt64(page) * 4096))
      return bytes.contains { $0 != 0 }
    }
  }

  fileprivate func send(_ bytes: [UInt8], queue: Int) throws {
    _ = try perform(queue, readable: [bytes])
  }
}

@Suite struct BalloonDeviceTests {
  @Test("Pages that the driver gives are given to the host; those beside them stay") func inflating() throws {
    try withActivatedDevice(BalloonDevice()) { guest in
      try guest.fill(firstPage..<firstPage + 8)
      try guest.send(pageNumbers([firstPage + 1, firstPage + 2, firstPage + 6, firstPage + 5]), queue: inflate)
      #expect(try guest.areFilled(firstPage..<firstPage + 8) == [true, false, false, true, true, false, false, true])
      try guest.send(pageNumbers([firstPage + 1]), queue: deflate)
      try guest.fill(firstPage + 1..<firstPage + 2)
      #expect(try guest.areFilled(firstPage + 1..<firstPage + 2) == [true])
    }
  }

  @Test(
    "Page numbers that are none of the guest's, odd lengths and repetitions do no harm",
    arguments: [
      [UInt32.max], [0x8000, 0x8001], [0x7fff, 0x8000, 0x8001], [UInt32](repeating: firstPage, count: 5000), [0x100000, 0xfffff],
    ])
  func nonsense(_ numbers: [UInt32]) throws {
    try withActivatedDevice(BalloonDevice()) { guest in
      try guest.send(pageNumbers(numbers) + [1, 2, 3], queue: inflate)
      try guest.send([1], queue: inflate)
      try guest.send(pageNumbers(numbers), queue: deflate)
      try guest.fill(firstPage..<firstPage + 1)
      try guest.send(pageNumbers([firstPage]), queue: inflate)
      #expect(try guest.areFilled(firstPage..<firstPage + 1) == [false])
    }
  }

  @Test("Pages that the driver reports as free are given to the host", arguments: [3, 4]) func freePages(queue: Int) throws {
    try withActivatedDevice(BalloonDevice()) { guest in
      try guest.fill(firstPage..<firstPage + 8)
      let driver = try #require(guest.drivers[queue] as? SplitDriver)
      // Whole pages within the buffers only: the second one begins and ends inside a page.
      let page = UInt64(firstPage) * 4096
      try driver.write(RawDescriptor(address: page, length: 8192, flags: 3, link: 1), at: 0)
      try driver.write(RawDescriptor(address: page + 3 * 4096 + 100, length: 3 * 4096, flags: 2, link: 0), at: 1)
      try driver.publish(0)
      guest.ring(queue)
      _ = try guest.within(.seconds(20), "an answer") { try driver.usedRing().index == 1 ? true : nil }
      #expect(try guest.areFilled(firstPage..<firstPage + 8) == [false, false, true, true, false, false, true, true])
    }
  }

  @Test("What the host wants is in the configuration space, and the driver is told") func target() throws {
    let balloon = BalloonDevice()
    #expect(throws: BalloonDevice.Refusal.self) { try balloon.setTarget(bytes: 4096) }
    try withActivatedDevice(balloon) { guest in
      try balloon.setTarget(bytes: 64 << 20)
      #expect(balloon.readConfiguration(offset: 0, width: 4) == 16384)
      #expect(guest.interrupt.record.configurationChanges == 1)
      #expect(throws: BalloonDevice.Refusal.self) { try balloon.setTarget(bytes: .max) }
      #expect(throws: BalloonDevice.Refusal.self) { try balloon.setTarget(bytes: guest.memory.size + 1) }
      balloon.writeConfiguration(offset: 4, width: 4, value: 77)
      // Nothing else can be written.
      balloon.writeConfiguration(offset: 0, width: 4, value: 1)
      balloon.writeConfiguration(offset: 4, width: 8, value: 1)
      balloon.writeConfiguration(offset: .max, width: 4, value: 1)
      #expect(balloon.readConfiguration(offset: 0, width: 8) == 77 << 32 | 16384)
      #expect(balloon.readConfiguration(offset: .max, width: 8) == 0)
    }
    #expect(balloon.readConfiguration(offset: 0, width: 8) == 0)
  }

  @Test("Statistics are asked for and answered") func asking() throws {
    let balloon = BalloonDevice()
    try withActivatedDevice(balloon) { guest in
      #expect(throws: BalloonDevice.Refusal.self) { try BalloonOperator { try balloon.perform($0) }.statistics(milliseconds: 1) }
      let driver = guest.drivers[statistics]
      _ = try driver.submit(readable: [statistic(4, 1)])
      guest.ring(statistics)
      // The driver: fills the buffer anew each time it comes back.
      let stop = Flag()
      let thread = try PThread(name: "driver") { [guest = Unchecked(guest)] in
        while !stop.isSet {
          guard let _ = try? guest.value.drivers[statistics].poll() else { continue }
          _ = try? guest.value.drivers[statistics].submit(readable: [
            statistic(5, 1 << 30) + statistic(4, 1 << 20) + statistic(99, 7) + statistic(0, .max) + [1, 2, 3]
          ])
          guest.value.ring(statistics)
        }
      }
      balloon.writeConfiguration(offset: 4, width: 4, value: 16)
      var answer: BalloonStatistics?
      while answer == nil { answer = try? BalloonOperator { try balloon.perform($0) }.statistics(milliseconds: 10_000) }
      stop.set()
      thread.join()
      let json = try #require(answer).json
      #expect(json.hasPrefix("{\"BalloonStats\": {\"stats\": {\"swap_in\": 18446744073709551615, \"swap_out\": null, "))
      #expect(json.contains("\"free_memory\": 1048576, \"total_memory\": 1073741824, "))
      #expect(json.hasSuffix("}, \"balloon_actual\": 65536}}"))
    }
    #expect(throws: BalloonDevice.Refusal.self) { try BalloonOperator { try balloon.perform($0) }.statistics(milliseconds: 1) }
  }

  @Test("A driver that gives many buffers for statistics gets all but one back") func manyStatistics() throws {
    try withActivatedDevice(BalloonDevice()) { guest in
      for _ in 0..<20 { _ = try guest.drivers[statistics].submit(readable: [statistic(4, 1)]) }
      guest.ring(statistics)
      var count = 0
      _ = try guest.within(.seconds(20), "19 buffers") {
        try guest.drivers[statistics].wish(.next)
        while try guest.drivers[statistics].poll() != nil { count += 1 }
        return count == 19 ? true : nil
      }
    }
  }

  @Test("A saved state is taken over by the next driver") func snapshot() throws {
    let balloon = BalloonDevice()
    var saved: [UInt8] = []
    try withActivatedDevice(balloon) { _ in
      try balloon.setTarget(bytes: 1 << 20)
      balloon.suspend()
      saved = try balloon.snapshot()
      balloon.resume()
    }
    let other = BalloonDevice()
    try other.restore(saved)
    try withActivatedDevice(other) { _ in #expect(other.readConfiguration(offset: 0, width: 4) == 256) }
    #expect(throws: DeviceStateError.self) { try other.restore([1, 2, 3]) }
  }
}

/// For a value that one thread uses while another waits.
private struct Unchecked<Value>: @unchecked Sendable {
  let value: Value
  init(_ value: Value) { self.value = value }
}

private final class Flag: Sendable {
  private let state = Atomic<Bool>(false)
  var isSet: Bool { state.load(ordering: .relaxed) }
  func set() { state.store(true, ordering: .relaxed) }
}
