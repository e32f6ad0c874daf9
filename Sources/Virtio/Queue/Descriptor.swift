internal import GuestMemory

/// A copy of one descriptor, taken from guest memory once: the guest may change the original at any time.
struct Descriptor {
  /// The bits of a descriptor's flags, the same in both formats (sections 2.7.5 and 2.8.13).
  enum Flag {
    static let next: UInt16 = 1 << 0
    static let write: UInt16 = 1 << 1
    static let indirect: UInt16 = 1 << 2
    static let available: UInt16 = 1 << 7
    static let used: UInt16 = 1 << 15
  }

  static let size = 16

  let address: GuestAddress
  let length: UInt32
  let flags: UInt16
  /// Split: the index of the next descriptor. Packed: the buffer ID.
  let link: UInt16

  /// Parses the layout of a split ring: address, length, flags, next.
  init(split words: (UInt64, UInt64)) {
    address = GuestAddress(words.0)
    length = UInt32(truncatingIfNeeded: words.1)
    flags = UInt16(truncatingIfNeeded: words.1 >> 32)
    link = UInt16(truncatingIfNeeded: words.1 >> 48)
  }

  /// Parses the layout of a packed ring: address, length, buffer ID, flags.
  init(packed words: (UInt64, UInt64)) {
    address = GuestAddress(words.0)
    length = UInt32(truncatingIfNeeded: words.1)
    link = UInt16(truncatingIfNeeded: words.1 >> 32)
    flags = UInt16(truncatingIfNeeded: words.1 >> 48)
  }

  func has(_ flag: UInt16) -> Bool { flags & flag != 0 }
}
