/// The model-specific registers that a processor starts with when no firmware runs.
enum ModelRegisters {
  /// Numbers as the Intel manual, volume 4, names them.
  private enum Index {
    static let timeStampCounter: UInt32 = 0x10
    static let sysenter: ClosedRange<UInt32> = 0x174...0x176
    static let miscellaneousEnable: UInt32 = 0x1a0
    static let variableRangeBase: UInt32 = 0x200
    static let defaultMemoryType: UInt32 = 0x2ff
    static let systemCall: ClosedRange<UInt32> = 0xc000_0081...0xc000_0084
    static let kernelGSBase: UInt32 = 0xc000_0102
  }

  /// A range of physical memory without caches: `size` is a power of two and divides `base`.
  struct Uncached {
    let base: UInt64
    let size: UInt64
  }

  /// The registers in the order they are set; each is one that every KVM knows.
  ///
  /// - Parameters:
  ///   - uncached: At most 8 ranges of device memory.
  ///   - physicalBits: The width of a physical address, 36...52.
  static func initial(uncached: [Uncached], physicalBits: Int) -> [(index: UInt32, value: UInt64)] {
    var values: [(index: UInt32, value: UInt64)] = []
    values += Index.sysenter.map { ($0, 0) }
    values += Index.systemCall.map { ($0, 0) }
    values.append((Index.kernelGSBase, 0))
    values.append((Index.timeStampCounter, 0))
    values.append((Index.miscellaneousEnable, 1))  // fast string operations
    // Memory type range registers: all is write-back (6), but for device memory, which is uncached (0).
    let mask = (UInt64(1) << UInt64(physicalBits)) - 1
    for (number, range) in uncached.prefix(8).enumerated() {
      values.append((Index.variableRangeBase + UInt32(2 * number), range.base))
      values.append((Index.variableRangeBase + UInt32(2 * number) + 1, (mask & ~(range.size - 1)) | (1 << 11)))
    }
    values.append((Index.defaultMemoryType, (1 << 11) | 6))
    return values
  }
}
