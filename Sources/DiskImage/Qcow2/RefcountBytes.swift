/// Refcounts of 1 << order bits in the bytes of a block (qcow2 specification, "Host cluster management"): those of less than a byte begin with
/// its least significant bit, larger ones with their most significant byte.
extension [UInt8] {
  /// Sets a refcount that is zero to one.
  mutating func setRefcountToOne(_ index: Int, order: Int) {
    let bits = 1 << order
    if bits < 8 {
      self[index * bits / 8] |= 1 << UInt8(index * bits % 8)
    } else {
      self[(index + 1) * (bits / 8) - 1] = 1
    }
  }

  /// A refcount.
  func refcount(_ index: Int, order: Int) -> UInt64 {
    let bits = 1 << order
    guard bits < 8 else { return self[index * (bits / 8)..<(index + 1) * (bits / 8)].reduce(0) { $0 << 8 | UInt64($1) } }
    return UInt64(self[index * bits / 8] >> UInt8(index * bits % 8)) & (1 << UInt64(bits) - 1)
  }
}
