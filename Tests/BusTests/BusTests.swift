import Bus
import Platform
import Synchronization
import Testing

/// Answers with its name and the offset; remembers the last store.
private final class Probe: BusDevice {
  struct Store: Equatable, Sendable {
    let offset: UInt64
    let width: Int
    let value: UInt64
  }

  let name: UInt64
  let stores = Mutex<[Store]>([])
  init(_ name: UInt64) { self.name = name }
  func read(offset: UInt64, width: Int) -> UInt64 { name << 32 | offset }
  func write(offset: UInt64, width: Int, value: UInt64) {
    stores.withLock { $0.append(Store(offset: offset, width: width, value: value)) }
  }
}

private func range(_ base: UInt64, _ length: UInt64) throws -> BusRange { try #require(BusRange(base: base, length: length)) }

@Suite struct BusRangeTests {
  @Test(arguments: [(0, 0), (.max, 2), (2, .max), (1 << 63, 1 << 63 | 1), (.max, .max)] as [(UInt64, UInt64)])
  func aRangeThatIsEmptyOrWrapsIsNone(base: UInt64, length: UInt64) throws {
    #expect(BusRange(base: base, length: length) == nil)
  }

  @Test func theWholeAddressSpaceButOneByteIsARange() throws {
    #expect(try range(1, .max).last == .max)
  }

  @Test func theLastByteOfTheAddressSpaceCanBeUsed() throws {
    let top = try range(.max, 1)
    #expect(top.last == .max)
    #expect(top.contains(.max, width: 1))
    #expect(!top.contains(.max, width: 2))
    #expect(!top.contains(.max, width: .max))
    #expect(!top.contains(0, width: 1))
    #expect(try top.overlaps(range(0, .max)) == false)
    #expect(try top.overlaps(range(1, .max)))
  }

  @Test(arguments: [
    (0x0f, 1, false), (0x10, 1, true), (0x10, 16, true), (0x10, 17, false), (0x1f, 1, true), (0x1f, 2, false), (0x20, 1, false),
  ]
  )
  func anAccessIsWhollyInsideOrNot(address: UInt64, width: Int, isInside: Bool) throws {
    #expect(try range(0x10, 0x10).contains(address, width: width) == isInside)
  }

  @Test(arguments: [0, -1, Int.min]) func anAccessWithoutBytesIsNowhere(width: Int) throws {
    #expect(try !range(0x10, 0x10).contains(0x10, width: width))
  }
}

@Suite struct BusTests {
  @Test func anAccessFindsTheDeviceThatCoversItWhereverItLies() throws {
    let bus = Bus()
    // Inserted out of order.
    for base in [0x300, 0x100, 0x200, 0x000] as [UInt64] { try bus.insert(Probe(base), at: range(base, 0x80)) }
    var view = BusView(bus)
    for base in [0x000, 0x100, 0x200, 0x300] as [UInt64] {
      #expect(view.read(base, width: 4) == base << 32)
      #expect(view.read(base + 0x7f, width: 1) == base << 32 | 0x7f)
      #expect(view.read(base + 0x80, width: 1) == .max)
      #expect(view.read(base + 0x7f, width: 2) == .max)
    }
    #expect(view.read(.max, width: 8) == .max)
  }

  @Test func aStoreReachesOneDeviceOrNone() throws {
    let (bus, low, high) = (Bus(), Probe(1), Probe(2))
    try bus.insert(low, at: range(0x10, 8))
    try bus.insert(high, at: range(0x18, 8))
    var view = BusView(bus)
    view.write(0x14, width: 4, value: 5)
    // Half in each of two devices.
    view.write(0x16, width: 4, value: 6)
    view.write(0x1000, width: 4, value: 7)
    #expect(low.stores.withLock { $0 } == [.init(offset: 4, width: 4, value: 5)])
    #expect(high.stores.withLock { $0 }.isEmpty)
  }

  @Test(arguments: [(0x0f, 2), (0x10, 1), (0x17, 1), (0x17, 100), (0, .max), (0x08, 0x10)] as [(UInt64, UInt64)])
  func rangesThatShareAnAddressAreRefusedAndTheBusStaysAsItWas(base: UInt64, length: UInt64) throws {
    let bus = Bus()
    try bus.insert(Probe(1), at: range(0x10, 8))
    let claimed = try range(base, length)
    #expect(throws: BusError.overlap(claimed, existing: try range(0x10, 8))) { try bus.insert(Probe(2), at: claimed) }
    var view = BusView(bus)
    #expect(view.read(0x10, width: 1) == 1 << 32)
    #expect(view.read(0x18, width: 1) == .max)
  }

  @Test func neighboursMayTouch() throws {
    let bus = Bus()
    try bus.insert(Probe(1), at: range(0x10, 8))
    try bus.insert(Probe(2), at: range(0x18, 8))
    try bus.insert(Probe(3), at: range(0x08, 8))
    try bus.insert(Probe(4), at: range(0x20, .max - 0x1f))
    var view = BusView(bus)
    #expect(view.read(.max, width: 1) == UInt64.max - 0x20)
  }

  @Test func aViewSeesWhatWasAddedAndRemovedAfterItWasMade() throws {
    let bus = Bus()
    var view = BusView(bus)
    #expect(view.read(0x10, width: 1) == .max)
    try bus.insert(Probe(1), at: range(0x10, 8))
    #expect(view.read(0x10, width: 1) == 1 << 32)
    try bus.remove(at: range(0x10, 8))
    #expect(view.read(0x10, width: 1) == .max)
    #expect(throws: BusError.absent(try range(0x10, 8))) { try bus.remove(at: range(0x10, 8)) }
    #expect(throws: BusError.absent(try range(0x10, 4))) { try bus.remove(at: range(0x10, 4)) }
  }

  @Test func viewsOnOtherThreadsNeverSeeAHalfDoneChange() throws {
    let bus = Bus()
    // A device that stays, between two that come and go.
    try bus.insert(Probe(1), at: range(0x1000, 0x100))
    let (isDone, wrong, reads) = (Shared(false), Shared(0), Shared(0))
    let readers = try (0..<2).map { number in
      try PThread(name: "reader \(number)") {
        var view = BusView(bus)
        while !isDone.value {
          if view.read(0x1010, width: 4) != 1 << 32 | 0x10 { wrong.add() }
          let moving = view.read(0x20, width: 4)
          if moving != .max, moving != 2 << 32 | 0x20, moving != 3 << 32 | 0x10 { wrong.add() }
          reads.add()
        }
      }
    }
    while reads.value < 2 { usleepBriefly() }
    for _ in 0..<2_000 {
      try bus.insert(Probe(2), at: range(0, 0x100))
      try bus.remove(at: range(0, 0x100))
      try bus.insert(Probe(3), at: range(0x10, 0x100))
      try bus.remove(at: range(0x10, 0x100))
    }
    // After the last change every view must find it.
    try bus.insert(Probe(2), at: range(0, 0x100))
    var view = BusView(bus)
    #expect(view.read(0x20, width: 4) == 2 << 32 | 0x20)
    isDone.set(true)
    for reader in readers { reader.join() }
    #expect(wrong.value == 0)
  }
}
