import Testing

@testable import Boot

@Suite("Firmware images")
struct FirmwarePlacementTests {
  private func place(size: Int) throws -> FirmwarePlacement {
    let file = try FileFixture([UInt8](repeating: 0, count: size), name: "bios.bin")
    return try FirmwarePlacement(file: file.bootFile)
  }

  @Test("an image ends at 4 GiB, and its last 128 KiB end at 1 MiB once more", arguments: [128 << 10, 1 << 20, 16 << 20])
  func places(size: Int) throws {
    let placement = try place(size: size)
    #expect(placement.image == .init(addresses: 1 << 32 - UInt64(size)..<1 << 32, fileOffset: 0))
    #expect(placement.lowCopy == .init(addresses: 0xe0000..<0x100000, fileOffset: UInt64(size) - 0x20000))
  }

  @Test("a small image is copied whole")
  func small() throws {
    #expect(try place(size: 64 << 10).lowCopy == .init(addresses: 0xf0000..<0x100000, fileOffset: 0))
  }

  @Test("other sizes are refused", arguments: [1, 4096, 65535, 65537, 1 << 20 + 512, 16 << 20 + 4096])
  func badSizes(size: Int) {
    #expect(throws: BootError.firmware(file: "bios.bin", .badSize(UInt64(size)))) { try place(size: size) }
  }

  @Test("an empty file is refused as such")
  func empty() { #expect(throws: BootError.firmware(file: "bios.bin", .file(.empty))) { try place(size: 0) } }

  @Test("the reset vector is 16 bytes below the image's end")
  func resetVector() {
    let entry = BootEntry.resetVector
    #expect(entry.mode == .reset)
    #expect(entry.code.base + entry.rip == 0xffff_fff0)
  }
}
