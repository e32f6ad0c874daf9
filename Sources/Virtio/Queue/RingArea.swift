internal import GuestMemory

/// One area of a ring: a window on guest memory whose length was checked when the queue was made.
///
/// Every offset is made of an index below the queue's size, so no access fails. One that did would read zero and write nothing.
struct RingArea {
  let slice: GuestSlice

  func load16(_ offset: Int) -> UInt16 { (try? slice.loadAcquire16(offset)) ?? 0 }

  func store16(_ value: UInt16, at offset: Int) { try? slice.storeRelease16(value, at: offset) }

  /// Copies 16 bytes at once, as two little-endian words.
  func copy16Bytes(_ offset: Int) -> (UInt64, UInt64) {
    var words = InlineArray<2, UInt64>(repeating: 0)
    var span = words.mutableSpan
    // Any bytes are valid integers.
    var bytes = unsafe span.mutableBytes
    try? slice.copy(offset, into: &bytes)
    return (UInt64(littleEndian: words[0]), UInt64(littleEndian: words[1]))
  }

  func store64(_ value: UInt64, at offset: Int) { store(value, bytes: 8, at: offset) }

  /// Writes the low 6 bytes.
  func store48(_ value: UInt64, at offset: Int) { store(value, bytes: 6, at: offset) }

  private func store(_ value: UInt64, bytes count: Int, at offset: Int) {
    let words: InlineArray<1, UInt64> = [value.littleEndian]
    // The bytes of an integer: every one is initialized.
    try? unsafe slice.copy(from: words.span.bytes.extracting(0..<count), at: offset)
  }
}
