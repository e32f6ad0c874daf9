import DiskImage
import DiskImageTesting
import Glibc
import Platform
import Testing

/// Bitmaps of another program, which a check counts as used space while they are valid.
@Suite(.enabled(if: QemuImg.isInstalled)) struct BitmapTests {
  /// An image with two bitmaps, in memory, and where its directory of bitmaps begins.
  private func image() throws -> (bytes: [UInt8], directory: Int) {
    let folder = try Folder()
    try QemuImg.create(folder["a"], 1 << 20)
    try QemuImg.io(folder["a"], ["write -P 1 0 64k"])
    try QemuImg.shell("qemu-img bitmap --add \(folder["a"]) one; qemu-img bitmap --add \(folder["a"]) two")
    let bytes = try fileContent(folder["a"])
    // The header extension of bitmaps: its type, its length, and the place of the directory after two numbers and the directory's size.
    let type: [UInt8] = [0x23, 0x85, 0x28, 0x75]
    let start = try #require((0..<512).first { Array(bytes[$0..<$0 + 4]) == type })
    return (bytes, bytes[start + 24..<start + 32].reduce(0) { $0 << 8 | Int($1) })
  }

  private func corruptions(_ bytes: [UInt8]) throws -> UInt64 {
    try Qcow2Image.check(file: FaultyFile(bytes), path: "bitmaps", repair: .nothing).corruptions
  }

  @Test func soundOnesAreCounted() throws {
    let (bytes, _) = try image()
    let report = try Qcow2Image.check(file: FaultyFile(bytes), path: "bitmaps", repair: .nothing)
    #expect(report.isClean)
  }

  /// A table's number of entries: more than the file has room for, and the most that all tables together may have, and one more.
  @Test(arguments: [1 << 20, 8 << 20, 8 << 20 + 1, 0xffff_ffff] as [UInt32])
  func tablesThatTheFileCannotHoldAreErrors(entries: UInt32) throws {
    var (bytes, directory) = try image()
    for index in 0..<4 { bytes[directory + 8 + index] = UInt8(truncatingIfNeeded: entries >> UInt32(24 - 8 * index)) }
    #expect(try corruptions(bytes) == 1)
  }
}
