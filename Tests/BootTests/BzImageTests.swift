import GuestMemory
import Testing

@testable import Boot

@Suite("bzImage kernels")
struct BzImageTests {
  let guest: GuestFixture

  init() throws { guest = try GuestFixture() }

  @Test("a bzImage starts in 64-bit mode, 0x200 bytes into its payload, with the boot parameters in RSI")
  func starts() throws {
    var kernel = BzImageFixture()
    kernel.payload = (0..<0x240).map { UInt8($0 & 0xff) }
    let entry = try guest.prepare(kernel.bytes)
    #expect(entry.mode == .long64)
    #expect(entry.rip == 0x10_0200)
    #expect(entry.rsi == 0x7000)
    #expect(try guest.bytes(0x240, at: 0x10_0000) == kernel.payload)
  }

  @Test("setup_sects 0 means 4")
  func noSectors() throws {
    var kernel = BzImageFixture()
    kernel.setupSectors = 0
    kernel.payload[0x22f] = 0x77
    #expect(try guest.problem(kernel.bytes) == nil)
    #expect(try guest.bytes(1, at: 0x10_022f) == [0x77])
  }

  @Test("a relocatable kernel goes to its preferred address, aligned; another exactly there")
  func relocatable() throws {
    var kernel = BzImageFixture()
    kernel.preferredAddress = 0x10_0800
    #expect(try guest.prepare(kernel.bytes).rip == 0x10_1200)
    kernel.isRelocatable = 0
    kernel.alignment = 0
    #expect(try guest.prepare(kernel.bytes).rip == 0x10_0a00)
  }

  @Test("the kernel's set-up header reaches it, up to the header's own end and with the boot loader's fields filled in")
  func header() throws {
    let kernel = BzImageFixture()
    _ = try guest.prepare(kernel.bytes, initramfs: [UInt8](repeating: 7, count: 5000), commandLine: "quiet")
    let page = try guest.bytes(4096, at: 0x7000)
    #expect(page.value(0x1fe, as: UInt16.self) == 0xaa55)
    #expect(page.value(0x206, as: UInt16.self) == 0x020f)
    #expect(page.value(0x260, as: UInt32.self) == 0x1000)
    #expect(page[0x210] == 0xff)
    #expect(page[0x211] & 1 == 1)
    #expect(page.value(0x228, as: UInt32.self) == 0x20000)
    #expect(page.value(0x218, as: UInt32.self) == (4 << 20) - 0x2000)
    #expect(page.value(0x21c, as: UInt32.self) == 5000)
    #expect(page.value(0x250, as: UInt64.self) == 0, "the file's setup_data pointer must not reach the kernel")
    #expect(page[0x26c..<0x2d0].allSatisfy { $0 == 0 }, "nothing behind the header's end is copied")
    #expect(page[0x1ef] == 0, "the sentinel")
  }

  @Test("only the 64-bit entry of boot protocol 2.12 or later is used")
  func oldKernels() throws {
    var kernel = BzImageFixture()
    kernel.version = 0x020b
    #expect(try guest.problem(kernel.bytes) == .oldProtocol(version: 0x020b))
    kernel = BzImageFixture()
    kernel.loadFlags = 0x3e
    #expect(try guest.problem(kernel.bytes) == .no64BitEntry)
  }

  @Test("a kernel whose decompressor would run out of RAM is refused")
  func initSize() throws {
    var kernel = BzImageFixture()
    kernel.initSize = 4 << 20
    #expect(try guest.problem(kernel.bytes) == .doesNotFit(start: 0x10_0000, end: 0x50_0000, ramEnd: 0x40_0000))
    kernel.initSize = (3 << 20)
    #expect(try guest.problem(kernel.bytes) == nil)
    kernel.initSize = .max
    kernel.preferredAddress = 0xffff_ffff
    kernel.alignment = 1 << 31
    #expect(try guest.problem(kernel.bytes) == .doesNotFit(start: 0x1_0000_0000, end: 0x1_ffff_ffff, ramEnd: 0x40_0000))
  }

  @Test("header fields that make no sense are named")
  func nonsense() throws {
    func field(_ change: (inout BzImageFixture) -> Void) throws -> String? {
      var kernel = BzImageFixture()
      change(&kernel)
      guard case .badField(let name, _, _)? = try guest.problem(kernel.bytes) else { return nil }
      return name
    }
    #expect(try field { $0.bootFlag = 0 } == "boot_flag")
    #expect(try field { $0.paragraphs = 0 } == "syssize")
    #expect(try field { $0.paragraphs = 0x20 } == "syssize")
    #expect(try field { $0.preferredAddress = 0 } == "pref_address")
    #expect(try field { $0.preferredAddress = .max } == "pref_address")
    #expect(try field { $0.alignment = 0 } == "kernel_alignment")
    #expect(try field { $0.alignment = 0x3000 } == "kernel_alignment")
    #expect(try field { $0.jump = 0x10 } == "the header's length")
  }

  @Test("a payload that the file does not hold is refused before anything is loaded")
  func truncated() throws {
    var kernel = BzImageFixture()
    kernel.paragraphs = 0xffff_ffff
    let size = UInt64(kernel.bytes.count)
    #expect(
      try guest.problem(kernel.bytes) == .truncated(part: "protected-mode code", needed: 1024 + 0xffff_ffff * 16, size: size))
    kernel.paragraphs = nil
    #expect(
      try guest.problem(kernel.bytes.dropLast(1)) == .truncated(part: "protected-mode code", needed: size, size: size - 1))
    #expect(try guest.bytes(0x230, at: 0x10_0000).allSatisfy { $0 == 0 })
  }

  @Test("bytes behind the payload, such as a signature, do no harm")
  func trailing() throws {
    #expect(try guest.problem(BzImageFixture().bytes + [UInt8](repeating: 0xff, count: 1000)) == nil)
  }

  @Test("a bzImage has no PVH entry")
  func noPVH() throws {
    guard case .noPVHEntry? = try guest.problem(BzImageFixture().bytes, entry: .pvh) else {
      Issue.record("accepted")
      return
    }
  }
}
