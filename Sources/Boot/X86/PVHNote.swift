/// The ELF note by which a kernel names its PVH entry (Xen, "x86/HVM direct boot ABI"): owner `Xen`, type 18, a 32-bit physical address.
enum PVHNote {
  private static let owner: [UInt8] = [0x58, 0x65, 0x6e, 0x00]
  private static let physical32Entry: UInt32 = 18

  /// The entry in the bytes of a note segment; `nil` when no note names one.
  ///
  /// - Throws: `noPVHEntry` for a note that ends outside the segment or holds no 32-bit address.
  static func entry(in bytes: [UInt8]) throws(KernelProblem) -> UInt64? {
    let notes = HeaderBytes(bytes: bytes, part: "note segment")
    var offset = 0
    // Each turn advances by 12 or more; every sum is below the array's size plus twice 2^32.
    while bytes.count - offset >= 12 {
      let nameSize: UInt32 = try notes.load(offset)
      let valueSize: UInt32 = try notes.load(offset + 4)
      let type: UInt32 = try notes.load(offset + 8)
      let name = offset + 12
      let value = name + padded(nameSize)
      let end = value + padded(valueSize)
      // The last note may lack its padding.
      guard value + Int(valueSize) <= bytes.count else { throw .noPVHEntry("a note ends outside its segment") }
      if type == physical32Entry, nameSize == owner.count, bytes[name..<name + owner.count].elementsEqual(owner) {
        return try address(notes, at: value, size: valueSize)
      }
      offset = end
    }
    return nil
  }

  private static func address(_ notes: HeaderBytes, at offset: Int, size: UInt32) throws(KernelProblem) -> UInt64 {
    switch size {
    case 4: return UInt64(try notes.load(offset, as: UInt32.self))
    case 8:
      let address: UInt64 = try notes.load(offset)
      guard address < X86Layout.fourGiB else { throw .noPVHEntry("the note's address \(hex(address)) is above 4 GiB") }
      return address
    default: throw .noPVHEntry("the note holds \(size) bytes and not an address")
    }
  }

  /// Names and values are padded to four bytes.
  private static func padded(_ size: UInt32) -> Int { (Int(size) + 3) & ~3 }
}
