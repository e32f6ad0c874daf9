import BlockDevice
import Glibc
import GuestMemory
import Logging
import Synchronization
import Testing
import Virtio
import VirtioTesting

/// A queue's thread has several things to do at a time, and a driver that may keep it from any of them.
@Suite struct ServiceLoopTests {
  /// Requests laid out at heads of the test's choice, which a hostile driver makes available as often as it likes.
  private struct Heads: @unchecked Sendable {
    // Unchecked: the test's thread and the device's take turns.
    let driver: SplitDriver
    let memory: GuestMemory

    init(_ guest: ActivatedDevice) throws {
      driver = try #require(guest.drivers[0] as? SplitDriver)
      memory = guest.memory
    }

    func lay(_ head: Int, _ type: UInt32, data: Int = 0, room: Int = 0) throws {
      let headerAt = try driver.heap.allocate(16)
      try memory.write(header(type), at: GuestAddress(headerAt))
      var table = [RawDescriptor(address: headerAt, length: 16, flags: 1, link: 1)]
      if data > 0 {
        table.append(
          RawDescriptor(address: try driver.heap.allocate(UInt64(data), alignment: 4096), length: UInt32(data), flags: 1, link: 2))
      }
      let roomAt = try driver.heap.allocate(UInt64(room + 1), alignment: 4096)
      table.append(RawDescriptor(address: roomAt, length: UInt32(room + 1), flags: 2, link: 0))
      let address = try driver.writeTable(table)
      try driver.write(RawDescriptor(address: address, length: UInt32(16 * table.count), flags: 4, link: 0), at: head)
    }

    func publish(_ head: UInt16) { try? driver.publish(head) }
  }

  @Test("Writes that never cease do not keep a flush from its end") func noStarvation() throws {
    let disk = ScriptedDisk()
    let device = try BlockDevice(BlockConfiguration(path: "scripted"), image: disk)
    try withActivatedDevice(device) { guest in
      let heads = try Heads(guest)
      try heads.lay(0, Op.flush)
      try heads.lay(1, Op.write, data: 4096)
      disk.play { moment in if moment == .hasNothingToAnswer { heads.publish(1) } }
      heads.publish(0)
      guest.ring(0)
      _ = try guest.within(.seconds(20), "the end of the flush") { disk.ended.load(ordering: .relaxed) > 0 ? true : nil }
      disk.play(nil)
    }
  }

  @Test("With no slot left the answers that there are reach the driver") func fullOfRequests() throws {
    let disk = ScriptedDisk()
    disk.isOpen.store(false, ordering: .relaxed)
    var configuration = BlockConfiguration(path: "scripted")
    configuration.queueSize = 8
    try withActivatedDevice(try BlockDevice(configuration, image: disk)) { guest in
      let heads = try Heads(guest)
      try heads.lay(0, Op.getID, room: 20)
      for head in 1...7 { try heads.lay(head, Op.read, room: 512) }
      let begun = Atomic<Int>(0)
      disk.play { moment in
        guard moment == .hasBegun, begun.add(1, ordering: .relaxed).newValue == 7 else { return }
        // The first head was answered: a read takes the last slot with it. Then one more that nothing is left for.
        try? heads.lay(0, Op.read, room: 512)
        heads.publish(0)
        heads.publish(1)
      }
      for head in 0...7 { heads.publish(UInt16(head)) }
      guest.ring(0)
      _ = try guest.within(.seconds(20), "an interrupt") { guest.interrupt.signals() > 0 ? true : nil }
      disk.play(nil)
    }
  }

  @Test("A guest cannot fill the log by failing again after each reset") func quietLog() throws {
    final class Lines: Sendable { let count = Atomic<Int>(0) }
    struct Counter: LogHandler {
      let lines: Lines
      var metadata: Logger.Metadata = [:]
      var logLevel = Logger.Level.info
      subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
      }
      func log(event: LogEvent) { lines.count.add(1, ordering: .relaxed) }
    }
    let lines = Lines()
    let logger = Logger(label: "lines", factory: { _ in Counter(lines: lines) })
    let device = try BlockDevice(BlockConfiguration(path: "scripted"), image: ScriptedDisk(writeCode: ENOSPC), logger: logger)
    try withActivatedDevice(device) { guest in
      for _ in 0..<100 {
        try guest.expect(Answer.ioError, [header(Op.write), pattern(512, seed: 0)])
        device.reset()
        try guest.activate()
      }
    }
    #expect((1...8).contains(lines.count.load(ordering: .relaxed)))
  }

  @Test("Without the flush command the cache begins switched off") func noCacheWithoutFlush() throws {
    let file = try ImageFile(size: 8192)
    try withActivatedDevice(try file.device(), deviceFeatures: ~(UInt64(1) << 9)) { guest in
      #expect(guest.features & 1 << 11 != 0)
      #expect(guest.device.readConfiguration(offset: 32, width: 1) == 0)
    }
  }

  @Test("A write that was under way when the cache was switched off is flushed before its answer") func lateSwitch() throws {
    let disk = ScriptedDisk()
    let device = try BlockDevice(BlockConfiguration(path: "scripted"), image: disk)
    try withActivatedDevice(device) { guest in
      disk.play { [device] moment in if moment == .hasBegun { device.writeConfiguration(offset: 32, width: 1, value: 0) } }
      try guest.expect(Answer.ok, [header(Op.write), pattern(512, seed: 0)])
      #expect(disk.ended.load(ordering: .relaxed) == 1)
      disk.play(nil)
    }
  }

  @Test("So are zeroes, whatever of their ranges came before") func lateSwitchBetweenRanges() throws {
    for switched in 1...3 {
      let disk = ScriptedDisk()
      let device = try BlockDevice(BlockConfiguration(path: "scripted"), image: disk)
      try withActivatedDevice(device) { guest in
        let count = Counter()
        disk.play { [device] moment in
          if moment == .hasBegun, count.next() == switched { device.writeConfiguration(offset: 32, width: 1, value: 0) }
        }
        try guest.expect(Answer.ok, [header(Op.writeZeroes), range(0, 1) + range(8, 1) + range(16, 1)])
        // Three ranges, and a flush.
        #expect(disk.ended.load(ordering: .relaxed) == 4, "switched off at \(switched)")
        disk.play(nil)
      }
    }
  }
}

/// Counts from 1.
private final class Counter: Sendable {
  private let count = Atomic<Int>(0)
  func next() -> Int { count.add(1, ordering: .relaxed).newValue }
}
