import GuestMemory
import Testing

@testable import Boot

@Suite("The x86-64 address map")
struct X86AddressMapTests {
  private static let gib: UInt64 = 1 << 30

  private func map(_ ramSize: UInt64, bits: Int = 40) throws -> X86AddressMap {
    try X86AddressMap(ramSize: ramSize, physicalAddressBits: bits)
  }

  @Test("no byte of RAM is lost in the hole", arguments: [128 << 20, 0xd000_0000, 0xd000_1000, 4 << 30, 5 << 30, 300 << 30] as [UInt64])
  func hole(ramSize: UInt64) throws {
    let map = try map(ramSize)
    #expect(map.ramRegions.reduce(0) { $0 + $1.size } == ramSize)
    #expect(map.lowRAM.upperBound <= 0xd000_0000)
    #expect(map.highRAM.lowerBound == 4 * Self.gib)
    #expect(map.highRAM.isEmpty == (ramSize <= 0xd000_0000))
  }

  @Test("the 64-bit window is a naturally aligned power of two above RAM and below the processor's limit", arguments: 36...52)
  func window(bits: Int) throws {
    for ramSize in [Self.gib, 5 * Self.gib, 48 * Self.gib] {
      let map = try map(ramSize, bits: bits)
      let window = map.pciWindow64
      let size = window.upperBound - window.lowerBound
      #expect(size.nonzeroBitCount == 1)
      #expect(window.lowerBound % size == 0)
      #expect(window.lowerBound >= map.highRAM.upperBound)
      #expect(window.upperBound <= 1 << UInt64(bits))
      #expect(size >= Self.gib)
    }
  }

  @Test("persistent memory lies between RAM and the window, aligned and apart", arguments: [1 << 30, 5 << 30] as [UInt64])
  func persistentMemory(ramSize: UInt64) throws {
    let sizes: [UInt64] = [2 << 20, 128 << 20, 20 << 30]
    let map = try X86AddressMap(ramSize: ramSize, persistentMemory: sizes, physicalAddressBits: 40)
    #expect(map.persistentMemory.map { $0.upperBound - $0.lowerBound } == sizes)
    #expect(map.persistentMemory.allSatisfy { $0.lowerBound % (128 << 20) == 0 })
    var end = map.highRAM.upperBound
    for range in map.persistentMemory + [map.pciWindow64] {
      #expect(range.lowerBound >= end)
      end = range.upperBound
    }
    #expect(end <= 1 << 40)
    #expect(map.e820 == (try self.map(ramSize)).e820)
    #expect(try self.map(ramSize).persistentMemory.isEmpty)
  }

  @Test("persistent memory that does not fit is refused, by its index")
  func persistentMemoryTooLarge() {
    for (sizes, index) in [([64 << 30], 0), ([2 << 20, .max - 4095], 1), ([1 << 30, 59 << 30, 2 << 20], 2)] as [([UInt64], Int)] {
      #expect(throws: BootError.addressMap(.noRoomForPersistentMemory(index: index, limit: 1 << 36))) {
        try X86AddressMap(ramSize: 1 << 30, persistentMemory: sizes, physicalAddressBits: 36)
      }
    }
  }

  @Test("amounts of RAM that cannot be are refused")
  func absurd() {
    #expect(throws: BootError.addressMap(.tooSmall(bytes: 0))) { try map(0) }
    #expect(throws: BootError.addressMap(.tooSmall(bytes: 4096))) { try map(4096) }
    #expect(throws: BootError.addressMap(.notPages(bytes: 1 << 20 + 1))) { try map(1 << 20 + 1) }
    #expect(throws: BootError.addressMap(.tooLarge(bytes: 64 << 30, limit: 1 << 36))) { try map(64 << 30, bits: 36) }
    #expect(throws: BootError.addressMap(.tooLarge(bytes: .max - 4095, limit: 1 << 52))) { try map(.max - 4095, bits: 52) }
    #expect(throws: BootError.addressMap(.badAddressBits(35))) { try map(1 << 30, bits: 35) }
    #expect(throws: BootError.addressMap(.badAddressBits(64))) { try map(1 << 30, bits: 64) }
  }

  @Test("the E820 map rises, and names all RAM but the tables' places", arguments: [64 << 20, 3 << 30, 5 << 30] as [UInt64])
  func e820(ramSize: UInt64) throws {
    let map = try map(ramSize)
    for (lower, upper) in zip(map.e820, map.e820.dropFirst()) { #expect(lower.range.upperBound <= upper.range.lowerBound) }
    let usable = map.e820.filter { $0.kind == .ram }.reduce(0) { $0 + $1.size }
    #expect(usable == ramSize - (0x10_0000 - 0x9e000))
    let reserved = map.e820.filter { $0.kind == .reserved }.map(\.range)
    #expect(reserved.contains(0xf400_0000..<0xf800_0000))
    #expect(reserved.contains(0xfeff_c000..<0xff00_0000))
    #expect(map.e820.allSatisfy { $0.kind == .reserved || map.isRAM(start: $0.range.lowerBound, end: $0.range.upperBound) })
  }

  @Test("what lies at fixed addresses below 1 MiB does not overlap")
  func layout() {
    let places = [
      0x400..<0x500, X86Layout.gdt..<X86Layout.gdt + 48, X86Layout.pvhStartInfo..<X86Layout.pvhStartInfo + 0x1000,
      X86Layout.bootParameters..<X86Layout.bootParameters + 0x1000, X86Layout.stackTop - 0x1000..<X86Layout.stackTop,
      X86Layout.pageTables..<X86Layout.pageTables + 0x6000, X86Layout.commandLine, X86Layout.ebda, X86Layout.acpi, X86Layout.smbios,
    ]
    for (lower, upper) in zip(places, places.dropFirst()) { #expect(lower.upperBound <= upper.lowerBound) }
  }

  @Test("a guest whose RAM ends at 1 MiB has no room for a kernel")
  func tinyGuest() throws {
    let guest = try GuestFixture(ramSize: 1 << 20)
    #expect(throws: BootError.addressMap(.tooSmall(bytes: 1 << 20))) { try guest.prepare(BzImageFixture().bytes) }
  }
}
