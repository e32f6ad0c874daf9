import GuestMemory
import Testing
import Virtio
import VirtioTesting

@Suite("Notifications, in both directions")
struct NotificationTests {
  /// All kinds of rings: format and event index.
  static let kinds: [(Format, Bool)] = [(.split, false), (.split, true), (.packed, false), (.packed, true)]

  private func bench(_ kind: (Format, Bool), size: UInt16 = 8, start: Int = 0) throws -> QueueBench {
    try QueueBench(kind.0, size: size, features: QueueBench.usual | (kind.1 ? VirtioFeatures.eventIndex : 0), start: start)
  }

  private func use(_ bench: QueueBench, count: Int = 1) throws {
    for _ in 0..<count {
      _ = try bench.driver.submit(readable: [[1]])
      bench.queue.complete(try bench.take().id, written: 0)
      _ = try bench.driver.poll()
    }
  }

  @Test("a driver that waits hears of a used buffer, once", arguments: kinds)
  func signalled(kind: (Format, Bool)) throws {
    let bench = try bench(kind)
    bench.queue.notify()
    #expect(bench.signals == 0)
    try use(bench)
    bench.queue.notify()
    bench.queue.notify()
    #expect(bench.signals == 1)
  }

  @Test("a driver that wants none hears nothing", arguments: kinds)
  func suppressed(kind: (Format, Bool)) throws {
    let bench = try bench(kind)
    try bench.driver.wish(.never)
    try use(bench, count: 3)
    bench.queue.notify()
    #expect(bench.signals == 0)
    try bench.driver.wish(.next)
    try use(bench)
    bench.queue.notify()
    #expect(bench.signals == 1)
  }

  @Test("a driver that names an entry hears when it is used, and not before or after", arguments: [Format.split, .packed])
  func atEntry(format: Format) throws {
    for after in 0..<7 as Range<UInt16> {
      let bench = try bench((format, true))
      try bench.driver.wish(.after(after))
      for used in 0..<7 as Range<UInt16> {
        try use(bench)
        bench.queue.notify()
        #expect(bench.signals == (used >= after ? 1 : 0))
      }
    }
  }

  @Test("an entry passed amid a batch counts", arguments: [Format.split, .packed])
  func amidBatch(format: Format) throws {
    let bench = try bench((format, true))
    try bench.driver.wish(.after(2))
    try use(bench, count: 5)
    bench.queue.notify()
    #expect(bench.signals == 1)
  }

  @Test("a batch longer than the indices can count is heard of")
  func hugeBatch() throws {
    let bench = try bench((.split, true))
    try bench.driver.wish(.after(9))
    try use(bench, count: 65536)
    bench.queue.notify()
    #expect(bench.signals == 1)
  }

  @Test("a packed batch of twice the ring is heard of")
  func packedHugeBatch() throws {
    let bench = try bench((.packed, true))
    try bench.driver.wish(.after(15))
    try use(bench, count: 40)
    bench.queue.notify()
    #expect(bench.signals == 1)
  }

  @Test("a packed event that is not in the ring is taken as passed")
  func packedBadEvent() throws {
    let bench = try bench((.packed, true))
    try (bench.driver as? PackedDriver)?.setDriverEvent(0x7fff, flags: 2)
    try use(bench)
    bench.queue.notify()
    #expect(bench.signals == 1)
  }

  @Test("packed event flags that mean nothing are taken as wanting interrupts", arguments: [2, 3, 0xfffc] as [UInt16])
  func packedBadFlags(flags: UInt16) throws {
    let bench = try bench((.packed, false))
    try (bench.driver as? PackedDriver)?.setDriverEvent(0, flags: flags)
    try use(bench)
    bench.queue.notify()
    #expect(bench.signals == 1)
  }

  @Test("event indices work around the wrap of the 16-bit index", arguments: 65528...65535, 0...7)
  func wrapAround(start: Int, after: Int) throws {
    let bench = try bench((.split, true), start: start)
    let before = bench.signals
    try bench.driver.wish(.after(UInt16(after)))
    for used in 0..<10 {
      try use(bench)
      bench.queue.notify()
      #expect(bench.signals - before == (used >= after ? 1 : 0))
    }
  }

  @Test("the driver rings when the device waits, and not while it works", arguments: kinds)
  func doorbells(kind: (Format, Bool)) throws {
    let bench = try bench(kind)
    for _ in 0..<3 {
      #expect(try bench.queue.enableNotifications() == false)
      _ = try bench.driver.submit(readable: [[1]])
      #expect(try bench.driver.wantsDoorbell())
      bench.queue.disableNotifications()
      bench.queue.complete(try bench.take().id, written: 0)
      _ = try bench.driver.poll()
      _ = try bench.driver.submit(readable: [[1]])
      #expect(try bench.driver.wantsDoorbell() == false)
      bench.queue.complete(try bench.take().id, written: 0)
      _ = try bench.driver.poll()
    }
  }

  @Test("what arrived before the device asked for doorbells is not lost", arguments: kinds)
  func race(kind: (Format, Bool)) throws {
    let bench = try bench(kind)
    bench.queue.disableNotifications()
    _ = try bench.driver.submit(readable: [[1]])
    #expect(try bench.queue.enableNotifications())
    _ = try bench.take()
    #expect(try bench.queue.enableNotifications() == false)
  }

  @Test("doorbells work around the wrap of the index", arguments: [65534, 65535])
  func doorbellWrap(start: Int) throws {
    let bench = try bench((.split, true), start: start)
    for _ in 0..<4 {
      #expect(try bench.queue.enableNotifications() == false)
      _ = try bench.driver.submit(readable: [[1]])
      #expect(try bench.driver.wantsDoorbell())
      bench.queue.complete(try bench.take().id, written: 0)
      _ = try bench.driver.poll()
    }
  }

  @Test("a broken queue asks for nothing", arguments: kinds)
  func brokenQueue(kind: (Format, Bool)) throws {
    let bench = try bench(kind)
    bench.queue.fail("a reason")
    bench.queue.disableNotifications()
    #expect(try bench.queue.enableNotifications() == false)
    #expect(bench.interrupt.record.resetReasons == ["queue 0: a reason"])
  }
}
