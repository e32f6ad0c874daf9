import BasicDevices
import DiskImage
import Glibc
import Platform
import Testing

@Suite struct PmemImageTests {
  private let path: String

  init() {
    var template = Array("/tmp/crosvm-pmem-XXXXXX".utf8CString)
    close(unsafe mkstemp(&template))
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Gives the file a size, lends it, and removes it.
  private func withFile(of size: Int, _ body: () throws -> Void) throws {
    defer { unsafe _ = unlink(path) }
    try #require(unsafe truncate(path, size) == 0)
    try body()
  }

  private static let mebibyte = 1 << 20
  private static let sizes: [(Int, UInt64)] = [
    (1, 2 << 20), (512, 2 << 20), (2 * mebibyte, 2 << 20), (2 * mebibyte + 512, 4 << 20), (3072 * mebibyte, 3 << 30),
  ]

  @Test(arguments: sizes)
  func theGuestSeesTheSizeRoundedUp(size: Int, guestSize: UInt64) throws {
    try withFile(of: size) {
      let image = try PmemImage(PmemConfiguration(path: path))
      #expect(image.size == UInt64(size) && image.guestSize == guestSize)
      let warnings = image.warnings.filter { $0.contains("truncate -s \(guestSize)") }
      #expect(warnings.count == (UInt64(size) == guestSize ? 0 : 1))
    }
  }

  @Test func nothingIsLostOfAnImageThatIsOnlyRead() throws {
    try withFile(of: 512) {
      let image = try PmemImage(PmemConfiguration(path: path, isReadOnly: true))
      #expect(image.warnings.isEmpty)
    }
  }

  /// The guest would see the container, not the disk; and no advice would do such an image good that is for raw ones.
  @Test(
    arguments: [
      ("qcow2", [0x51, 0x46, 0x49, 0xfb]), ("an Android sparse image", [0x3a, 0xff, 0x26, 0xed]),
      ("a composite image", Array("composite_disk\u{1d}".utf8)), ("VMDK", Array("KDMV".utf8)),
    ] as [(String, [UInt8])]) func anImageInAFormatIsToldOf(name: String, start: [UInt8]) throws
  {
    try withFile(of: 8192) {
      let file = unsafe open(path, O_WRONLY | O_CLOEXEC)
      defer { close(file) }
      #expect(unsafe pwrite(file, start, start.count, 0) == start.count)
      for isReadOnly in [true, false] {
        let warnings = try PmemImage(PmemConfiguration(path: path, isReadOnly: isReadOnly)).warnings
        #expect(warnings.count == 1 && warnings[0].contains("looks like \(name),") && !warnings[0].contains("truncate"), "\(warnings)")
      }
    }
  }

  @Test func anImageThatItsFileSystemCannotHoldIsToldOf() throws {
    // 8 TiB of holes.
    try withFile(of: 8 << 40) {
      let warnings = try PmemImage(PmemConfiguration(path: path)).warnings
      #expect(warnings.count == 1 && warnings[0].contains("has 8388608 MiB of holes") && warnings[0].contains("fallocate -l \(8 << 40)"))
    }
  }

  @Test func theFileAndZeroesAfterItAreMapped() throws {
    try withFile(of: 8192 + 512) {
      let file = unsafe fopen(path, "r+")
      unsafe fputs("head", file)
      unsafe fclose(file)
      let image = try PmemImage(PmemConfiguration(path: path))
      let mapping = try image.map()
      #expect(mapping.count == 2 << 20)
      // In bounds: the mapping has 2 MiB, and the file keeps its size.
      #expect(unsafe String(cString: mapping.base.assumingMemoryBound(to: CChar.self)) == "head")
      unsafe mapping.base.storeBytes(of: UInt8(ascii: "H"), as: UInt8.self)
      for offset in [8192 + 512, 12288, (2 << 20) - 1] {
        #expect(unsafe mapping.base.load(fromByteOffset: offset, as: UInt8.self) == 0)
        unsafe mapping.base.storeBytes(of: 1, toByteOffset: offset, as: UInt8.self)
      }
      let again = unsafe fopen(path, "r")
      defer { unsafe _ = fclose(again) }
      #expect(unsafe fgetc(again) == 0x48)
    }
  }

  @Test func anImageIsUsedOnceOrOnlyRead() throws {
    try withFile(of: 512) {
      let readers = try (0..<2).map { _ in try PmemImage(PmemConfiguration(path: path, isReadOnly: true)) }
      #expect(throws: DiskError.inUse(path, writing: true)) { try PmemImage(PmemConfiguration(path: path)) }
      var unlocked = PmemConfiguration(path: path)
      unlocked.isLocked = false
      _ = try PmemImage(unlocked)
      _ = readers
    }
  }

  @Test func whatIsNoImageIsRefused() throws {
    #expect(throws: DiskError.missing("/nonexistent")) { try PmemImage(PmemConfiguration(path: "/nonexistent")) }
    #expect(throws: DiskError.directory("/tmp")) { try PmemImage(PmemConfiguration(path: "/tmp")) }
    #expect(throws: DiskError.notADisk("/dev/null")) { try PmemImage(PmemConfiguration(path: "/dev/null")) }
    try withFile(of: 0) { #expect(throws: DiskError.empty(path)) { try PmemImage(PmemConfiguration(path: path)) } }
  }
}
