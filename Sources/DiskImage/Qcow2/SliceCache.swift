internal import Glibc
internal import Platform

/// Pieces of tables, as they are in the file or as they will be: a cache in sets of eight, the oldest clean one of a set going first.
///
/// Every access is checked against the cache's own memory; what the image says selects no address.
@safe final class SliceCache {
  static let ways = 8

  let sliceSize: Int
  private let memory: MemoryMapping
  private let sets: UInt64
  /// Where in the file each slot's slice is; zero, where no table can be, means none.
  private var tags: [UInt64]
  private var ages: [UInt32]
  private var clock: UInt32 = 0
  private var dirtyFlags: [Bool]
  /// The slots that differ from the file.
  private(set) var dirtySlots: [Int] = []

  /// Makes an empty cache of at most `bytes`, and at least one set.
  init(bytes: Int, sliceSize: Int) throws(DiskError) {
    self.sliceSize = sliceSize
    sets = UInt64(max(1, bytes / (SliceCache.ways * sliceSize)))
    let slots = Int(sets) * SliceCache.ways
    tags = [UInt64](repeating: 0, count: slots)
    ages = [UInt32](repeating: 0, count: slots)
    dirtyFlags = [Bool](repeating: false, count: slots)
    do { memory = try .anonymous(count: slots * sliceSize) } catch { throw .system(error) }
  }

  /// The bytes that the cache can hold.
  var capacity: Int { memory.count }

  private func firstSlot(_ offset: UInt64) -> Int {
    let hash = (offset / UInt64(sliceSize)) &* 0x9e37_79b9_7f4a_7c15
    // The upper half of the hash as a fraction of the sets: always one of them.
    return Int(((hash >> 32) &* sets) >> 32) * SliceCache.ways
  }

  /// The slot that holds the slice at a place of the file.
  @inline(__always)
  func find(_ offset: UInt64) -> Int? {
    let first = firstSlot(offset)
    for slot in first..<first + SliceCache.ways where tags[slot] == offset {
      clock &+= 1
      ages[slot] = clock
      return slot
    }
    return nil
  }

  /// The slot that a slice may take: nil when all that come into question are dirty.
  func victim(for offset: UInt64) -> Int? {
    let first = firstSlot(offset)
    var best: Int?
    for slot in first..<first + SliceCache.ways where !dirtyFlags[slot] {
      if tags[slot] == 0 { return slot }
      if let current = best, clock &- ages[slot] <= clock &- ages[current] { continue }
      best = slot
    }
    return best
  }

  /// Any slot of the set that a slice belongs to: one to be written, where all are dirty.
  func oldest(for offset: UInt64) -> Int {
    let first = firstSlot(offset)
    return (first..<first + SliceCache.ways).max { clock &- ages[$0] < clock &- ages[$1] } ?? first
  }

  /// Where in the file a slot's slice is.
  func offset(_ slot: Int) -> UInt64 { tags[slot] }

  /// Reads a slice into a clean slot.
  func fill(_ slot: Int, from file: any ImageFile, at offset: UInt64) throws(DiskFailure) {
    precondition(!dirtyFlags[slot])
    tags[slot] = 0
    unsafe try file.load(base(slot), count: sliceSize, at: offset)
    tags[slot] = offset
    clock &+= 1
    ages[slot] = clock
  }

  /// Writes a slot's slice, which is clean then.
  func write(_ slot: Int, to file: any ImageFile) throws(DiskFailure) {
    unsafe try file.store(base(slot), count: sliceSize, at: tags[slot])
    clean(slot)
  }

  /// Writes all slices that differ from the file, in the order of their places.
  func writeAll(to file: any ImageFile) throws(DiskFailure) {
    defer { dirtySlots.removeAll { !dirtyFlags[$0] } }
    for slot in dirtySlots.sorted(by: { tags[$0] < tags[$1] }) {
      unsafe try file.store(base(slot), count: sliceSize, at: tags[slot])
      dirtyFlags[slot] = false
    }
  }

  private func clean(_ slot: Int) {
    dirtyFlags[slot] = false
    dirtySlots.removeAll { $0 == slot }
  }

  func markDirty(_ slot: Int) {
    if dirtyFlags[slot] { return }
    dirtyFlags[slot] = true
    dirtySlots.append(slot)
  }

  /// Forgets what is cached of a range of the file, changed or not.
  func forget(offset: UInt64, count: UInt64) {
    var place = offset
    while place < offset + count {
      if let slot = find(place) {
        clean(slot)
        tags[slot] = 0
      }
      place += UInt64(sliceSize)
    }
  }

  private func base(_ slot: Int) -> UnsafeMutableRawPointer {
    // In bounds: the memory has a slice for each tag.
    precondition(tags.indices.contains(slot))
    return unsafe memory.base + slot * sliceSize
  }

  /// The 64-bit number with this index in a slot's slice.
  @inline(__always)
  func word(_ slot: Int, _ index: Int) -> UInt64 {
    precondition(index >= 0 && index < sliceSize / 8)
    return unsafe UInt64(bigEndian: base(slot).load(fromByteOffset: index * 8, as: UInt64.self))
  }

  func setWord(_ slot: Int, _ index: Int, _ value: UInt64) {
    precondition(index >= 0 && index < sliceSize / 8)
    unsafe base(slot).storeBytes(of: value.bigEndian, toByteOffset: index * 8, as: UInt64.self)
    markDirty(slot)
  }

  /// The refcount with this index, of 1 << order bits; those of less than a byte begin with its least significant bit.
  func refcount(_ slot: Int, _ index: Int, order: Int) -> UInt64 {
    precondition(index >= 0 && index < (sliceSize * 8) >> order)
    let base = unsafe base(slot)
    switch order {
    case 6: return unsafe UInt64(bigEndian: base.load(fromByteOffset: index * 8, as: UInt64.self))
    case 5: return unsafe UInt64(UInt32(bigEndian: base.load(fromByteOffset: index * 4, as: UInt32.self)))
    case 4: return unsafe UInt64(UInt16(bigEndian: base.load(fromByteOffset: index * 2, as: UInt16.self)))
    default:
      let (byte, shift, mask) = SliceCache.place(index, order)
      return unsafe UInt64(base.load(fromByteOffset: byte, as: UInt8.self) >> shift & mask)
    }
  }

  /// `value` must fit in the bits.
  func setRefcount(_ slot: Int, _ index: Int, order: Int, _ value: UInt64) {
    precondition(index >= 0 && index < (sliceSize * 8) >> order)
    let base = unsafe base(slot)
    switch order {
    case 6: unsafe base.storeBytes(of: value.bigEndian, toByteOffset: index * 8, as: UInt64.self)
    case 5: unsafe base.storeBytes(of: UInt32(truncatingIfNeeded: value).bigEndian, toByteOffset: index * 4, as: UInt32.self)
    case 4: unsafe base.storeBytes(of: UInt16(truncatingIfNeeded: value).bigEndian, toByteOffset: index * 2, as: UInt16.self)
    default:
      let (byte, shift, mask) = SliceCache.place(index, order)
      let old = unsafe base.load(fromByteOffset: byte, as: UInt8.self)
      let new = old & ~(mask << shift) | (UInt8(truncatingIfNeeded: value) & mask) << shift
      unsafe base.storeBytes(of: new, toByteOffset: byte, as: UInt8.self)
    }
    markDirty(slot)
  }

  private static func place(_ index: Int, _ order: Int) -> (byte: Int, shift: UInt8, mask: UInt8) {
    let bits = 1 << order
    return ((index * bits) / 8, UInt8((index * bits) % 8), UInt8(truncatingIfNeeded: (1 << bits) - 1))
  }
}
