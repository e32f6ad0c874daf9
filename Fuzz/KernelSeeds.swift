/// Small kernels that the loader accepts.
enum KernelSeeds {
  /// A file of zeroes but for some little-endian numbers.
  private static func file(_ count: Int, _ numbers: [(offset: Int, width: Int, value: UInt64)]) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    for number in numbers {
      for index in 0..<number.width { bytes[number.offset + index] = UInt8(truncatingIfNeeded: number.value >> UInt64(8 * index)) }
    }
    return bytes
  }

  /// One setup sector and 0x230 bytes of kernel (Documentation/arch/x86/boot.rst).
  static let bzImage = file(
    1024 + 0x230,
    [
      (0x1f1, 1, 1), (0x1f4, 4, 0x23), (0x1fe, 2, 0xaa55), (0x200, 2, 0x6aeb), (0x202, 4, 0x5372_6448), (0x206, 2, 0x020f),
      (0x211, 1, 0x80), (0x22c, 4, 0x7fff_ffff), (0x230, 4, 0x1000), (0x234, 1, 1), (0x236, 2, 1), (0x238, 4, 2047),
      (0x258, 8, 0x10_0000), (0x260, 4, 0x1000),
    ])

  /// A segment to load and a note with the PVH entry.
  static let elf = file(
    64 + 2 * 56 + 24,
    [
      (0x00, 8, 0x0001_0102_464c_457f), (0x10, 2, 2), (0x12, 2, 62), (0x14, 4, 1), (0x18, 8, 0x10_0000), (0x20, 8, 64), (0x34, 2, 64),
      (0x36, 2, 56), (0x38, 2, 2),
      (64, 4, 1), (72, 8, 176), (80, 8, 0xffff_ffff_8010_0000), (88, 8, 0x10_0000), (96, 8, 4), (104, 8, 0x100),
      (120, 4, 4), (128, 8, 176), (152, 8, 20), (160, 8, 20),
      (176, 4, 4), (180, 4, 4), (184, 4, 18), (188, 4, 0x006e_6558), (192, 4, 0x10_0000),
    ])
}
