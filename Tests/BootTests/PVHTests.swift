import GuestMemory
import Testing

@testable import Boot

@Suite("The PVH entry")
struct PVHTests {
  let guest: GuestFixture
  private let address: [UInt8] = [0x01, 0x00, 0x10, 0x00]

  init() throws { guest = try GuestFixture() }

  @Test("a kernel with both entries starts at the 64-bit one, unless PVH is asked for")
  func both() throws {
    let kernel = ELFFixture.withNote(address)
    #expect(try guest.prepare(kernel.bytes).mode == .long64)
    #expect(try guest.prepare(kernel.bytes, entry: .long64).rip == 0x10_0000)
    let entry = try guest.prepare(kernel.bytes, entry: .pvh)
    #expect(entry.mode == .protected32)
    #expect(entry.rip == 0x10_0001)
    #expect(entry.rbx == 0x6000)
  }

  @Test("a kernel that starts at a virtual address, or names the PVH entry in its header, starts by PVH")
  func onlyPVH() throws {
    #expect(try guest.prepare(ELFFixture.withNote(address, entry: 0xffff_ffff_8000_0000).bytes).mode == .protected32)
    #expect(try guest.prepare(ELFFixture.withNote(address, entry: 0x10_0001).bytes).mode == .protected32)
  }

  @Test("the note's address may have 64 bits")
  func wideNote() throws {
    let entry = try guest.prepare(ELFFixture.withNote(address + [0, 0, 0, 0]).bytes, entry: .pvh)
    #expect(entry.rip == 0x10_0001)
  }

  @Test("without a note, or with a broken one, PVH is refused and the 64-bit entry still works")
  func brokenNotes() throws {
    var huge = ELFFixture()
    huge.segments.append(.init(type: 4, content: [UInt8](repeating: 0, count: 1 << 20 + 1)))
    var cut = ELFFixture()
    cut.segments.append(.init(type: 4, content: Array(ELFFixture.note(address).dropLast(1))))
    var long = ELFFixture()
    long.segments.append(.init(type: 4, content: [4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 18, 0, 0, 0, 0x58, 0x65, 0x6e, 0]))
    var longName = ELFFixture()
    longName.segments.append(.init(type: 4, content: [UInt8](repeating: 0xff, count: 64)))
    let kernels = [
      ELFFixture(), huge, cut, long, longName, .withNote([1, 2]), .withNote([]), .withNote([0, 0, 0, 0, 1, 0, 0, 0]),
    ]
    for kernel in kernels {
      guard case .noPVHEntry? = try guest.problem(kernel.bytes, entry: .pvh) else {
        Issue.record("accepted")
        continue
      }
      #expect(try guest.prepare(kernel.bytes).mode == .long64)
    }
  }

  @Test("a PVH entry where nothing is loaded is refused")
  func badEntry() throws {
    #expect(try guest.problem(ELFFixture.withNote([0, 0, 0, 0]).bytes, entry: .pvh) == .badEntry(0))
  }

  @Test("the start information names command line, initramfs, memory map and ACPI root pointer")
  func startInformation() throws {
    _ = try guest.prepare(
      ELFFixture.withNote(address).bytes, initramfs: [UInt8](repeating: 9, count: 4097), commandLine: "a=b", entry: .pvh)
    let page = try guest.bytes(4096, at: 0x6000)
    #expect(page.value(0, as: UInt32.self) == 0x336e_c578)
    #expect(page.value(4, as: UInt32.self) == 1)
    #expect(page.value(12, as: UInt32.self) == 1)
    #expect(page.value(24, as: UInt64.self) == 0x20000)
    #expect(page.value(32, as: UInt64.self) == 0xe0000)
    let module = Int(page.value(16, as: UInt64.self)) - 0x6000
    #expect(page.value(module, as: UInt64.self) == (4 << 20) - 0x2000)
    #expect(page.value(module + 8, as: UInt64.self) == 4097)
    let map = Int(page.value(40, as: UInt64.self)) - 0x6000
    #expect(page.value(48, as: UInt32.self) == UInt32(guest.map.e820.count))
    for (index, entry) in guest.map.e820.enumerated() {
      #expect(page.value(map + 24 * index, as: UInt64.self) == entry.range.lowerBound)
      #expect(page.value(map + 24 * index + 8, as: UInt64.self) == entry.size)
      #expect(page.value(map + 24 * index + 16, as: UInt32.self) == entry.kind.rawValue)
    }
    #expect(try guest.bytes(4, at: 0x20000) == Array("a=b\0".utf8))
  }

  @Test("without an initramfs there is no module")
  func noModule() throws {
    _ = try guest.prepare(ELFFixture.withNote(address).bytes, entry: .pvh)
    let page = try guest.bytes(64, at: 0x6000)
    #expect(page.value(12, as: UInt32.self) == 0)
    #expect(page.value(16, as: UInt64.self) == 0)
  }
}
