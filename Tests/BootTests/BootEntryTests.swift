import GuestMemory
import Testing

@testable import Boot

@Suite("The first vCPU's state")
struct BootEntryTests {
  @Test("64-bit entry: paging, PAE and long mode are on, interrupts off, selectors as Linux wants them")
  func long64() throws {
    let guest = try GuestFixture()
    let entry = try guest.prepare(BzImageFixture().bytes)
    #expect(entry.cr0 & 0x8000_0001 == 0x8000_0001)
    #expect(entry.cr4 == 0x20)
    #expect(entry.efer == 0x500)
    #expect(entry.rflags == 2)
    #expect(entry.code.selector == 0x10)
    #expect(entry.data.selector == 0x18)
    #expect(entry.code.isLong && !entry.code.is32Bit)
    #expect(entry.gdt == .init(base: 0x500, limit: 47))
    let gdt = try guest.bytes(48, at: 0x500)
    #expect(gdt.value(0x10, as: UInt64.self) == 0x00af_9b00_0000_ffff)
    #expect(gdt.value(0x18, as: UInt64.self) == 0x00cf_9300_0000_ffff)
    #expect(gdt.value(0x20, as: UInt64.self) == 0x0000_8b00_0000_0067)
  }

  @Test("PVH entry: protected mode without paging")
  func protected32() throws {
    let guest = try GuestFixture()
    let entry = try guest.prepare(ELFFixture.withNote([0, 0, 0x10, 0]).bytes, entry: .pvh)
    #expect(entry.cr0 & 0x8000_0001 == 1)
    #expect((entry.cr3, entry.cr4, entry.efer) == (0, 0, 0))
    #expect(entry.code.is32Bit && !entry.code.isLong)
    #expect(try guest.bytes(48, at: 0x500).value(0x10, as: UInt64.self) == 0x00cf_9b00_0000_ffff)
  }

  @Test("the page tables map the first 4 GiB to themselves")
  func pageTables() throws {
    let guest = try GuestFixture()
    let entry = try guest.prepare(BzImageFixture().bytes)
    func read(_ table: UInt64, _ index: UInt64) throws -> UInt64 { try guest.memory.load(GuestAddress(table & ~0xfff | index * 8)) }
    for address: UInt64 in [0, 0x1f_ffff, 0x20_0000, 0x3fff_ffff, 0x4000_0000, 0xfee0_0000, 0xffff_ffff] {
      let directories = try read(entry.cr3, address >> 39)
      let directory = try read(directories, address >> 30 & 511)
      let page = try read(directory, address >> 21 & 511)
      #expect(directories & 3 == 3 && directory & 3 == 3 && page & 0x83 == 0x83)
      #expect(page & ~0x1f_ffff == address & ~0x1f_ffff)
    }
    #expect(try read(entry.cr3, 1) == 0)
    #expect(try read(read(entry.cr3, 0), 4) == 0)
  }

  @Test("a segment's base and limit take their places in its descriptor")
  func descriptor() {
    let segment = SegmentDescriptor(selector: 8, base: 0x1234_5678, limit: 0xabcde, type: 0xb)
    #expect(segment.encoded == 0x120a_9b34_5678_bcde)
  }
}

@Suite("Boot parameters")
struct BootParametersTests {
  @Test("the memory map, the command line and the ACPI root pointer are in the zero page")
  func page() throws {
    let guest = try GuestFixture(ramSize: 5 << 30)
    _ = try guest.prepare(BzImageFixture().bytes)
    let page = try guest.bytes(4096, at: 0x7000)
    #expect(page.value(0x70, as: UInt64.self) == 0xe0000)
    #expect(Int(page[0x1e8]) == guest.map.e820.count)
    for (index, entry) in guest.map.e820.enumerated() {
      #expect(page.value(0x2d0 + 20 * index, as: UInt64.self) == entry.range.lowerBound)
      #expect(page.value(0x2d8 + 20 * index, as: UInt64.self) == entry.size)
      #expect(page.value(0x2e0 + 20 * index, as: UInt32.self) == entry.kind.rawValue)
    }
  }

  @Test("no more entries than the page has room for")
  func manyEntries() {
    let page = BootParameters(e820: [E820Entry](repeating: E820Entry(0..<4096, .ram), count: 300)).bytes
    #expect(page.count == 4096)
    #expect(page[0x1e8] == 128)
  }

  @Test("an initramfs above 4 GiB is told by its high halves too")
  func highInitramfs() {
    let page = BootParameters(initramfs: 0x2_0000_1000..<0x5_0000_1001).bytes
    #expect(page.value(0x218, as: UInt32.self) == 0x1000)
    #expect(page.value(0x0c0, as: UInt32.self) == 2)
    #expect(page.value(0x21c, as: UInt32.self) == 1)
    #expect(page.value(0x0c4, as: UInt32.self) == 3)
  }
}
