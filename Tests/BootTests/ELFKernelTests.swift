import GuestMemory
import Testing

@testable import Boot

@Suite("ELF kernels")
struct ELFKernelTests {
  let guest: GuestFixture

  init() throws { guest = try GuestFixture() }

  private func problem(_ change: (inout ELFFixture) -> Void) throws -> KernelProblem? {
    var kernel = ELFFixture()
    change(&kernel)
    return try guest.problem(kernel.bytes)
  }

  private func segmentProblem(_ change: (inout ELFFixture.Segment) -> Void) throws -> SegmentProblem? {
    guard case .segment(0, let problem)? = try problem({ change(&$0.segments[0]) }) else { return nil }
    return problem
  }

  @Test("an ELF kernel starts in 64-bit mode at its own entry point")
  func starts() throws {
    var kernel = ELFFixture()
    kernel.entry = 0x10_0002
    let entry = try guest.prepare(kernel.bytes)
    #expect(entry.mode == .long64)
    #expect(entry.rip == 0x10_0002)
    #expect(try guest.bytes(4, at: 0x10_0000) == [0xf4, 0xeb, 0xfd, 0])
  }

  @Test("an ELF kernel gets a set-up header made for it")
  func header() throws {
    _ = try guest.prepare(ELFFixture().bytes, commandLine: "panic=-1")
    let page = try guest.bytes(4096, at: 0x7000)
    #expect(page.value(0x202, as: UInt32.self) == 0x5372_6448)
    #expect(page.value(0x1fe, as: UInt16.self) == 0xaa55)
    #expect(page.value(0x228, as: UInt32.self) == 0x20000)
    #expect(page.value(0x238, as: UInt32.self) == 8)
    #expect(try guest.bytes(9, at: 0x20000) == Array("panic=-1\0".utf8))
  }

  @Test("segments may come in any order and leave gaps; those without memory are skipped")
  func severalSegments() throws {
    var kernel = ELFFixture()
    kernel.segments = [
      .init(address: 0x30_0000, content: [3]), .init(content: [], memorySize: 0), .init(address: 0x10_0000, content: [1]),
    ]
    #expect(try guest.problem(kernel.bytes) == nil)
    #expect(try guest.bytes(1, at: 0x30_0000) == [3])
    #expect(try guest.bytes(1, at: 0x10_0000) == [1])
  }

  @Test("a kernel for another machine is refused by that machine's name")
  func wrongMachine() throws {
    #expect(try problem { $0.machine = 183 } == .wrongELF(.machine(183)))
    #expect(ELFMismatch.machine(183).description.contains("arm64"))
    #expect(ELFMismatch.machine(9999).description.contains("9999"))
  }

  @Test("32-bit, big-endian and unlinked files are refused as what they are")
  func wrongKind() throws {
    #expect(
      try problem {
        $0.width = 1
        $0.machine = 3
      } == .wrongELF(.bits32(machine: 3)))
    #expect(ELFMismatch.bits32(machine: 3).description.contains("32-bit ELF file for i386"))
    #expect(try problem { $0.order = 2 } == .wrongELF(.bigEndian))
    #expect(try problem { $0.type = 1 } == .wrongELF(.type(1)))
    #expect(try problem { $0.type = 4 } == .wrongELF(.type(4)))
    #expect(try problem { $0.type = 3 } == nil)
  }

  @Test("a program header table that makes no sense is refused")
  func programHeaders() throws {
    func field(_ change: (inout ELFFixture) -> Void) throws -> String? {
      guard case .badField(let name, _, _)? = try problem(change) else { return nil }
      return name
    }
    #expect(try field { $0.count = 0 } == "e_phnum")
    #expect(try field { $0.count = 0xffff } == "e_phnum")
    #expect(try field { $0.entrySize = 0 } == "e_phentsize")
    #expect(try field { $0.entrySize = 0xffff } == "e_phentsize")
    #expect(try field { $0.tableOffset = 0 } == "e_phoff")
    #expect(try field { $0.tableOffset = .max - 8 } == "e_phoff")
    #expect(try problem { $0.tableOffset = 1 << 40 } == .truncated(part: "program header table", needed: 1 << 40 + 56, size: 123))
    #expect(try problem { $0.count = 200 } == .truncated(part: "program header table", needed: 64 + 200 * 56, size: 123))
    #expect(try field { $0.segments = [.init(type: 6)] } == "the number of loadable segments")
  }

  @Test("segments that do not fit into the file are refused")
  func fileRange() throws {
    #expect(
      try problem {
        $0.segments[0].fileSize = 200
        $0.segments[0].memorySize = 200
      } == .truncated(part: "segment of program header 0", needed: 320, size: 123))
    guard case .badField("program header 0's p_offset", _, _)? = try problem({ $0.segments[0].offset = .max }) else {
      Issue.record("accepted")
      return
    }
  }

  @Test("segments that do not fit into memory are refused")
  func memoryRange() throws {
    #expect(try segmentProblem { $0.memorySize = 2 } == .smallerInMemory(memory: 2, file: 3))
    #expect(try segmentProblem { $0.memorySize = .max } == .wraps(address: 0x10_0000, size: .max))
    #expect(try segmentProblem { $0.address = .max - 2 } == .wraps(address: .max - 2, size: 0x100))
    #expect(try segmentProblem { $0.address = 0x7000 } == .overLowMemory(address: 0x7000, size: 0x100))
    #expect(try segmentProblem { $0.address = 0xf_ffff } == .overLowMemory(address: 0xf_ffff, size: 0x100))
    #expect(try segmentProblem { $0.address = 0x3f_ff01 } == .outsideRAM(address: 0x3f_ff01, size: 0x100))
    #expect(try segmentProblem { $0.address = 0xd000_0000 } == .outsideRAM(address: 0xd000_0000, size: 0x100))
    #expect(try segmentProblem { $0.memorySize = 3 << 20 } == nil)
  }

  @Test("segments that share memory are refused")
  func overlap() throws {
    #expect(
      try problem { $0.segments = [.init(address: 0x10_0080), .init(address: 0x10_0000)] } == .segment(0, .overlaps(1)))
    #expect(try problem { $0.segments = [.init(address: 0x10_0100), .init(address: 0x10_0000)] } == nil)
  }

  @Test("an entry point where nothing is loaded is refused", arguments: [0, 0x10_0100, 0xffff_ffff_8100_0000] as [UInt64])
  func entry(address: UInt64) throws {
    #expect(try problem { $0.entry = address } == .badEntry(address))
  }
}
