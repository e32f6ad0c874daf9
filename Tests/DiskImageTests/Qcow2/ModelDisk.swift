import DiskImage
import Glibc
import Testing

/// What a disk may hold: of each sector, the stamps that it may be filled with, now and after a crash.
struct ModelDisk {
  static let sector = 512

  /// What is read now.
  private(set) var now: [UInt32]
  /// What else may be there after a crash: everything since the last flush, and what was there then.
  private var possible: [Set<UInt32>]
  private var nextStamp: UInt32 = 1
  /// The sectors that it has or will have, as long as nobody knows whether it grew.
  private var countBeforeLong: Int?

  init(sectors: Int, stamp: (Int) -> UInt32 = { _ in 0 }) {
    now = (0..<sectors).map(stamp)
    possible = now.map { [$0] }
  }

  var count: Int { now.count }

  /// From now on until `grow` it may be longer.
  mutating func mayGrow(to sectors: Int) { countBeforeLong = sectors }

  mutating func grow(to sectors: Int) {
    countBeforeLong = nil
    let added = sectors - now.count
    now += [UInt32](repeating: 0, count: added)
    possible += [Set<UInt32>](repeating: [0], count: added)
  }

  /// A stamp of its own for each write; returns the bytes.
  mutating func write(_ sectors: Range<Int>) -> [UInt8] {
    let stamp = nextStamp
    nextStamp += 1
    set(sectors, stamp)
    return ModelDisk.bytes(stamp, sectors.count)
  }

  mutating func set(_ sectors: Range<Int>, _ stamp: UInt32) {
    for sector in sectors {
      now[sector] = stamp
      possible[sector].insert(stamp)
    }
  }

  /// Sectors that may be zero from now on, or what they were: the disk says which.
  mutating func discard(_ sectors: Range<Int>, found: [UInt32]) -> Bool {
    for (sector, stamp) in zip(sectors, found) {
      guard stamp == 0 || stamp == now[sector] else { return false }
      now[sector] = stamp
      possible[sector].insert(0)
    }
    return true
  }

  /// An operation on these failed or was cut off: old or new, each sector for itself.
  mutating func allow(_ sectors: Range<Int>, _ stamp: UInt32) { for sector in sectors { possible[sector].insert(stamp) } }

  mutating func flush() { for sector in now.indices { possible[sector] = [now[sector]] } }

  /// The first sector that holds what it cannot, after a crash; those that survived are taken over.
  mutating func crashed(found: [UInt32]) -> Int? {
    if let countBeforeLong, found.count == countBeforeLong { grow(to: countBeforeLong) }
    countBeforeLong = nil
    guard found.count == now.count else { return min(found.count, now.count) }
    for (sector, stamp) in found.enumerated() {
      guard possible[sector].contains(stamp) else { return sector }
      now[sector] = stamp
      possible[sector] = [stamp]
    }
    return nil
  }

  static func bytes(_ stamp: UInt32, _ sectors: Int) -> [UInt8] {
    let word = [UInt8(truncatingIfNeeded: stamp), UInt8(truncatingIfNeeded: stamp >> 8), UInt8(truncatingIfNeeded: stamp >> 16), 0]
    let filled = (0..<sector / 4).flatMap { _ in word }
    return (0..<sectors).flatMap { _ in filled }
  }

  /// The stamps of sectors; nil where one is not filled with one.
  static func stamps(_ bytes: [UInt8]) -> [UInt32]? {
    unsafe bytes.withUnsafeBytes { whole in
      var stamps: [UInt32] = []
      for start in stride(from: 0, to: whole.count, by: sector) {
        guard let base = whole.baseAddress, start + sector <= whole.count else { return nil }
        // Each word is as the one before it.
        guard unsafe memcmp(base + start, base + start + 4, sector - 4) == 0 else { return nil }
        stamps.append(unsafe whole.loadUnaligned(fromByteOffset: start, as: UInt32.self))
      }
      return stamps
    }
  }
}

/// A disk under random operations, which a model follows.
struct RandomUse {
  var dice: Dice
  var model: ModelDisk
  /// The most sectors of one operation.
  let span: Int
  /// Whether it may grow, and how far.
  var sizeLimit = 0

  /// Does one operation. Whatever fails has left the disk old or new; that it failed is returned.
  mutating func step(_ image: some SynchronousDisk) -> Bool {
    let count = 1 + dice.below(dice.below(4) == 0 ? span : max(1, span / 8))
    let start = dice.below(model.count - count + 1)
    let sectors = start..<start + count
    let offset = UInt64(start * ModelDisk.sector)
    let bytes = UInt64(count * ModelDisk.sector)
    switch dice.below(16) {
    case 0..<8:
      do { try image.store(model.write(sectors), at: Int(offset)) } catch { return false }
    case 8, 9:
      model.allow(sectors, 0)
      guard image.writeZeroes(offset: offset, count: bytes, mayDiscard: dice.below(2) == 0) == 0 else { return false }
      model.set(sectors, 0)
    case 10, 11:
      model.allow(sectors, 0)
      guard image.discard(offset: offset, count: bytes) == 0 else { return false }
      guard let found = stamps(image, Int(offset), Int(bytes)) else { return false }
      let isPossible = model.discard(sectors, found: found)
      #expect(isPossible)
    case 12:
      guard image.flush() == 0 else { return false }
      model.flush()
    case 13 where model.count < sizeLimit:
      let sectors = min(sizeLimit, model.count + 1 + dice.below(64))
      model.mayGrow(to: sectors)
      do { try image.resize(to: UInt64(sectors * ModelDisk.sector)) } catch { return false }
      model.grow(to: sectors)
    default:
      guard let found = stamps(image, Int(offset), Int(bytes)) else { return false }
      #expect(found == Array(model.now[sectors]))
    }
    return true
  }

  /// What is read; nil when a full cache had to be written first, and could not be.
  private func stamps(_ image: some SynchronousDisk, _ offset: Int, _ count: Int) -> [UInt32]? {
    guard let bytes = try? image.bytes(offset, count) else { return nil }
    return ModelDisk.stamps(bytes)
  }
}
