import Glibc
import Platform

@testable import Boot

/// Little-endian bytes for hand-made images.
struct ImageBytes {
  var bytes: [UInt8]

  init(count: Int) { bytes = [UInt8](repeating: 0, count: count) }

  mutating func set<Value: FixedWidthInteger>(_ value: Value, at offset: Int) {
    for index in 0..<Value.bitWidth / 8 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> Value(8 * index)) }
  }

  mutating func set(bytes more: [UInt8], at offset: Int) { bytes.replaceSubrange(offset..<offset + more.count, with: more) }
}

extension [UInt8] {
  /// The little-endian integer at `offset`.
  func value<Value: FixedWidthInteger>(_ offset: Int, as type: Value.Type = Value.self) -> Value {
    self[offset..<offset + Value.bitWidth / 8].reversed().reduce(0) { $0 << 8 | Value($1) }
  }

  /// The ASCII text at `offset`.
  func text(_ offset: Int, _ count: Int) -> String { String(decoding: self[offset..<offset + count], as: UTF8.self) }

  /// All bytes added up, which is 0 for a table with a checksum.
  var sum: UInt8 { reduce(0, &+) }
}

/// A tiny bzImage, good unless a test changes a field.
struct BzImageFixture {
  var setupSectors: UInt8 = 1
  var bootFlag: UInt16 = 0xaa55
  var magic: UInt32 = 0x5372_6448
  var version: UInt16 = 0x020f
  var loadFlags: UInt16 = 1
  var jump: UInt8 = 0x6a
  var payload = [UInt8](repeating: 0x90, count: 0x230)
  var paragraphs: UInt32?
  var initSize: UInt32 = 0x1000
  var preferredAddress: UInt64 = 0x10_0000
  var alignment: UInt32 = 0x1000
  var isRelocatable: UInt8 = 1
  var commandLineSize: UInt32 = 2047
  var initramfsMaximum: UInt32 = 0x7fff_ffff

  /// The file.
  var bytes: [UInt8] {
    let sectors = Int(setupSectors == 0 ? 4 : setupSectors) + 1
    var image = ImageBytes(count: sectors * 512 + payload.count)
    image.set(setupSectors, at: 0x1f1)
    image.set(paragraphs ?? UInt32(payload.count / 16), at: 0x1f4)
    image.set(bootFlag, at: 0x1fe)
    image.set(UInt8(0xeb), at: 0x200)
    image.set(jump, at: 0x201)
    image.set(magic, at: 0x202)
    image.set(version, at: 0x206)
    image.set(UInt8(0x80), at: 0x211)
    image.set(initramfsMaximum, at: 0x22c)
    image.set(alignment, at: 0x230)
    image.set(isRelocatable, at: 0x234)
    image.set(loadFlags, at: 0x236)
    image.set(commandLineSize, at: 0x238)
    image.set(UInt64(0xdead_0000), at: 0x250)
    image.set(preferredAddress, at: 0x258)
    image.set(initSize, at: 0x260)
    image.set(bytes: payload, at: sectors * 512)
    return image.bytes
  }
}

/// A tiny ELF kernel, good unless a test changes a field.
struct ELFFixture {
  struct Segment {
    var type: UInt32 = 1
    var address: UInt64 = 0x10_0000
    var content: [UInt8] = [0xf4, 0xeb, 0xfd]
    var fileSize: UInt64?
    var memorySize: UInt64 = 0x100
    var offset: UInt64?
  }

  var width: UInt8 = 2
  var order: UInt8 = 1
  var type: UInt16 = 2
  var machine: UInt16 = 62
  var entry: UInt64 = 0x10_0000
  var tableOffset: UInt64 = 64
  var entrySize: UInt16 = 56
  var count: UInt16?
  var segments = [Segment()]

  /// A kernel with a note; `value` is the note's content.
  static func withNote(_ value: [UInt8], entry: UInt64 = 0x10_0000) -> ELFFixture {
    var kernel = ELFFixture()
    kernel.entry = entry
    kernel.segments.append(Segment(type: 4, content: note(value)))
    return kernel
  }

  /// A note of Xen's, after one that belongs to somebody else.
  static func note(_ value: [UInt8], type: UInt32 = 18) -> [UInt8] {
    func one(_ owner: [UInt8], _ type: UInt32, _ value: [UInt8]) -> [UInt8] {
      var note = ImageBytes(count: 12)
      note.set(UInt32(owner.count), at: 0)
      note.set(UInt32(value.count), at: 4)
      note.set(type, at: 8)
      return note.bytes + owner + [UInt8](repeating: 0, count: -owner.count & 3) + value + [UInt8](repeating: 0, count: -value.count & 3)
    }
    return one(Array("Linux\0".utf8), 0x101, [1]) + one(Array("Xen\0".utf8), type, value)
  }

  /// The file.
  var bytes: [UInt8] {
    var image = ImageBytes(count: 64 + 56 * segments.count)
    image.set(bytes: [0x7f, 0x45, 0x4c, 0x46, width, order, 1], at: 0)
    image.set(type, at: 0x10)
    image.set(machine, at: 0x12)
    image.set(UInt32(1), at: 0x14)
    image.set(entry, at: 0x18)
    image.set(tableOffset, at: 0x20)
    image.set(UInt16(64), at: 0x34)
    image.set(entrySize, at: 0x36)
    image.set(count ?? UInt16(segments.count), at: 0x38)
    for (index, segment) in segments.enumerated() {
      let at = 64 + 56 * index
      image.set(segment.type, at: at)
      image.set(segment.offset ?? UInt64(image.bytes.count), at: at + 8)
      image.set(segment.address | 0xffff_ffff_8000_0000, at: at + 16)
      image.set(segment.address, at: at + 24)
      image.set(segment.fileSize ?? UInt64(segment.content.count), at: at + 32)
      image.set(segment.memorySize, at: at + 40)
      image.bytes += segment.content
    }
    return image.bytes
  }
}

/// A file in memory with given bytes.
final class FileFixture {
  private let file: MemoryFile
  let name: String

  init(_ bytes: [UInt8], name: String = "vmlinux") throws {
    file = try MemoryFile(name: "test", size: bytes.count)
    self.name = name
    try replace(bytes, at: 0)
  }

  /// Overwrites bytes inside the file.
  func replace(_ bytes: [UInt8], at offset: Int) throws {
    guard !bytes.isEmpty else { return }
    try retrying("write a test file") { unsafe pwrite(file.number, bytes, bytes.count, offset) }
  }

  var bootFile: BootFile { BootFile(descriptor: file.number, name: name) }
}
