public import Synchronization

/// Two devices claim the same addresses, or a range is not on the bus.
public enum BusError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The range shares addresses with one that is registered already.
  case overlap(BusRange, existing: BusRange)
  /// No device is registered for exactly this range.
  case absent(BusRange)

  /// The failure in words, with the values and, where there is one, the remedy.
  public var description: String {
    switch self {
    case .overlap(let range, let existing):
      "addresses 0x\(String(range.base, radix: 16))-0x\(String(range.last, radix: 16)) are taken by a device at "
        + "0x\(String(existing.base, radix: 16))-0x\(String(existing.last, radix: 16))"
    case .absent(let range):
      "no device is registered at 0x\(String(range.base, radix: 16))-0x\(String(range.last, radix: 16))"
    }
  }
}

/// An address space with devices in it: ports or guest-physical memory.
///
/// Registration takes a lock and publishes a new table; each vCPU thread reads through a `BusView` of its own, which costs one atomic
/// load per access while nothing changes.
public final class Bus: Sendable {
  struct Entry: Sendable {
    let range: BusRange
    let device: any BusDevice
  }

  private let table = Mutex<[Entry]>([])
  /// Grows with each change of the table, so that views know when theirs is old.
  @usableFromInline let generation = Atomic<UInt64>(0)

  /// Makes an empty bus.
  public init() {}

  /// Adds a device.
  ///
  /// - Throws: `BusError.overlap` when any address of the range is taken; the bus is then unchanged.
  public func insert(_ device: any BusDevice, at range: BusRange) throws(BusError) {
    try table.withLock { (entries: inout [Entry]) throws(BusError) in
      if let existing = entries.first(where: { $0.range.overlaps(range) }) { throw .overlap(range, existing: existing.range) }
      let index = entries.firstIndex { $0.range.base > range.base } ?? entries.endIndex
      entries.insert(Entry(range: range, device: device), at: index)
    }
    generation.add(1, ordering: .releasing)
  }

  /// Removes the device registered for exactly this range.
  ///
  /// A vCPU that is inside the device finishes its access; those that come after find nothing.
  public func remove(at range: BusRange) throws(BusError) {
    try table.withLock { (entries: inout [Entry]) throws(BusError) in
      guard let index = entries.firstIndex(where: { $0.range == range }) else { throw .absent(range) }
      entries.remove(at: index)
    }
    generation.add(1, ordering: .releasing)
  }

  /// The table as it is now.
  func snapshot() -> [Entry] { table.withLock { $0 } }
}

/// One thread's reading side of a bus.
public struct BusView: ~Copyable {
  @usableFromInline let bus: Bus
  private var entries: [Bus.Entry] = []
  @usableFromInline var seen: UInt64 = .max

  /// Makes a view; it must stay on the thread that uses it.
  public init(_ bus: Bus) { self.bus = bus }

  /// Answers a guest's load; all ones where no device covers the whole access.
  public mutating func read(_ address: UInt64, width: Int) -> UInt64 {
    guard let entry = find(address, width: width) else { return .max }
    return entry.device.read(offset: address - entry.range.base, width: width)
  }

  /// Hands a guest's store to its device; dropped where no device covers the whole access.
  public mutating func write(_ address: UInt64, width: Int, value: UInt64) {
    guard let entry = find(address, width: width) else { return }
    entry.device.write(offset: address - entry.range.base, width: width, value: value)
  }

  private mutating func find(_ address: UInt64, width: Int) -> Bus.Entry? {
    let current = bus.generation.load(ordering: .acquiring)
    if current != seen {
      entries = bus.snapshot()
      seen = current
    }
    var low = 0
    var high = entries.count
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].range.base <= address { low = middle + 1 } else { high = middle }
    }
    guard low > 0, entries[low - 1].range.contains(address, width: width) else { return nil }
    return entries[low - 1]
  }
}
