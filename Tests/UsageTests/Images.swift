/// Bytes of hand-made images.
struct Image {
  var bytes: [UInt8]

  init(count: Int) { bytes = [UInt8](repeating: 0, count: count) }

  mutating func set<Value: FixedWidthInteger>(_ value: Value, at offset: Int) {
    for index in 0..<Value.bitWidth / 8 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> Value(8 * index)) }
  }

  mutating func set(bytes more: [UInt8], at offset: Int) { bytes.replaceSubrange(offset..<offset + more.count, with: more) }
}

/// Firmware of 64 KiB, all of it in the 16 bytes from the reset vector.
enum Firmware {
  /// Writes "A" to the first serial port: `mov al,'A'; mov dx,0x3f8; out dx,al`.
  private static let writeA: [UInt8] = [0xb0, 0x41, 0xba, 0xf8, 0x03, 0xee]

  /// Writes "A" and resets the machine through the keyboard controller: `mov al,0xfe; out 0x64,al; hlt`.
  static let resets = image(writeA + [0xb0, 0xfe, 0xe6, 0x64, 0xf4])
  /// Writes "A" and never leaves the processor again: `jmp $`.
  static let spins = image(writeA + [0xeb, 0xfe])
  /// Writes "A" and sleeps: `cli; hlt`.
  static let sleeps = image(writeA + [0xfa, 0xf4])
  /// Writes "A" again and again.
  static let chatters = image(writeA + [0xeb, 0xfd])

  /// Writes "A", and resets the machine once there is a byte to read from the first serial port:
  /// mov dx,0x3fd; then: in al,dx; test al,1; jz "then"; mov al,0xfe; out 0x64,al; hlt.
  static let resetsAtAKey = longImage(
    writeA + [0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xfb, 0xb0, 0xfe, 0xe6, 0x64, 0xf4])

  /// Reads the first byte of the configuration space of the device in slot 1 again and again, and writes it to the first serial port:
  /// mov dx,0xcf8; mov eax,0x80000800; out dx,eax; then: mov dx,0xcfc; in al,dx; mov dx,0x3f8; out dx,al; jmp to "then".
  static let looksAtADevice = longImage(
    [0xba, 0xf8, 0x0c, 0x66, 0xb8, 0, 8, 0, 0x80, 0x66, 0xef, 0xba, 0xfc, 0x0c, 0xec, 0xba, 0xf8, 0x03, 0xee, 0xeb, 0xf6])

  /// Code that does not fit behind the reset vector, which jumps to where there is room.
  private static func longImage(_ code: [UInt8]) -> [UInt8] {
    var image = Image(count: 64 << 10)
    image.set(bytes: [0xe9, 0x0d, 0xfe], at: 0xfff0)
    image.set(bytes: code, at: 0xfe00)
    return image.bytes
  }

  private static func image(_ code: [UInt8]) -> [UInt8] {
    var image = Image(count: 64 << 10)
    image.set(bytes: code, at: (64 << 10) - 16)
    return image.bytes
  }
}

/// An ELF kernel with one segment, good unless a test changes a field.
struct ELFFile {
  var width: UInt8 = 2
  var machine: UInt16 = 62
  var entry: UInt64 = 0x10_0000
  var tableOffset: UInt64 = 64
  var offset: UInt64 = 0x1000
  var address: UInt64 = 0x10_0000
  var size: UInt64 = 0x1000

  var bytes: [UInt8] {
    var image = Image(count: 0x2000)
    image.set(bytes: [0x7f, 0x45, 0x4c, 0x46, width, 1, 1], at: 0)
    image.set(UInt16(2), at: 0x10)
    image.set(machine, at: 0x12)
    image.set(UInt32(1), at: 0x14)
    image.set(entry, at: 0x18)
    image.set(tableOffset, at: 0x20)
    image.set(UInt16(64), at: 0x34)
    image.set(UInt16(56), at: 0x36)
    image.set(UInt16(1), at: 0x38)
    image.set(UInt32(1), at: 64)
    image.set(offset, at: 64 + 8)
    image.set(address, at: 64 + 24)
    image.set(size, at: 64 + 32)
    image.set(size, at: 64 + 40)
    image.set(bytes: [0xf4, 0xeb, 0xfd], at: 0x1000)
    return image.bytes
  }

  /// One that a change made bad.
  static func with(_ change: (inout ELFFile) -> Void) -> [UInt8] {
    var file = ELFFile()
    change(&file)
    return file.bytes
  }
}

/// The beginning and a payload of a bzImage for x86-64 (Linux, Documentation/arch/x86/boot.rst).
let bzImage: [UInt8] = {
  var image = Image(count: 1024 + 4096)
  image.set(UInt8(1), at: 0x1f1)
  image.set(UInt32(4096 / 16), at: 0x1f4)
  image.set(UInt16(0xaa55), at: 0x1fe)
  image.set(bytes: [0xeb, 0x6a], at: 0x200)
  image.set(bytes: Array("HdrS".utf8), at: 0x202)
  image.set(UInt16(0x020f), at: 0x206)
  image.set(UInt8(0x80), at: 0x211)
  image.set(UInt32(0x7fff_ffff), at: 0x22c)
  image.set(UInt32(0x1000), at: 0x230)
  image.set(UInt16(1), at: 0x236)
  image.set(UInt32(2047), at: 0x238)
  image.set(UInt64(0x10_0000), at: 0x258)
  image.set(UInt32(0x1000), at: 0x260)
  return image.bytes
}()
