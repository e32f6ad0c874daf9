internal import Interrupts
internal import Synchronization

/// The guest's view of the vectors: an entry is address (8 bytes), data (4) and vector control (4); bit 0 of the latter masks.
extension MSIX {
  /// Answers a load of the table: aligned groups of 4 or 8 bytes within an entry; others read as all ones.
  public func readTable(offset: UInt64, width: Int) -> UInt64 {
    guard let (vector, field) = entry(offset, width) else { return .max }
    let (message, isMasked) = vector.state.withLock { ($0.message, $0.isMasked) }
    let words = [
      UInt32(truncatingIfNeeded: message.address), UInt32(truncatingIfNeeded: message.address >> 32), message.data, isMasked ? 1 : 0,
    ]
    let low = UInt64(words[field])
    return width == 8 ? low | UInt64(words[field + 1]) << 32 : low
  }

  /// Takes a store to the table; accesses for which `readTable` has no value are ignored.
  public func writeTable(offset: UInt64, width: Int, value: UInt64) {
    guard let (vector, field) = entry(offset, width) else { return }
    change(vector) { state in
      MSIX.set(field, UInt32(truncatingIfNeeded: value), &state)
      if width == 8 { MSIX.set(field + 1, UInt32(truncatingIfNeeded: value >> 32), &state) }
    }
  }

  /// Answers a load of the pending bits, one a vector in groups of 64: aligned 4 or 8 bytes; others read as all ones.
  ///
  /// There is no way to write them.
  public func readPending(offset: UInt64, width: Int) -> UInt64 {
    guard width == 4 || width == 8, offset % UInt64(width) == 0, offset < MSIX.pendingSize(vectorCount: vectorCount) else { return .max }
    let first = Int(offset) * 8
    var value: UInt64 = 0
    for index in first..<(first + 8 * width) where isPending(index) {
      value |= 1 << UInt64(index - first)
    }
    return value
  }

  private func isPending(_ index: Int) -> Bool { index < vectorCount && vectors[index].state.withLock { $0.isPending } }

  /// The bytes that the pending bits of so many vectors take.
  public static func pendingSize(vectorCount: Int) -> UInt64 { UInt64((max(vectorCount, 0) + 63) / 64 * 8) }

  private func entry(_ offset: UInt64, _ width: Int) -> (MSIXVector, field: Int)? {
    guard width == 4 || width == 8, offset % UInt64(width) == 0, offset < UInt64(vectors.count * MSIX.entrySize) else { return nil }
    return (vectors[Int(offset) / MSIX.entrySize], Int(offset) % MSIX.entrySize / 4)
  }

  private static func set(_ field: Int, _ word: UInt32, _ state: inout MSIXVector.State) {
    switch field {
    // The lowest two bits of an address are always zero.
    case 0: state.message.address = state.message.address & ~0xffff_ffff | UInt64(word & ~3)
    case 1: state.message.address = state.message.address & 0xffff_ffff | UInt64(word) << 32
    case 2: state.message.data = word
    default: state.isMasked = word & 1 != 0
    }
  }
}
