import Bus
import PCI
import Testing

@Suite struct PCIConfigurationSpaceTests {
  private func makeSpace(_ bars: [BAR] = []) throws -> PCIConfigurationSpace {
    var space = PCIConfigurationSpace(
      identity: PCIIdentity(vendor: 0x1af4, device: 0x1042, revision: 1, classCode: 0x01_8000, subsystemVendor: 0x1af4, subsystem: 0x40))
    for bar in bars { try space.add(bar) }
    return space
  }

  @Test func identityIsWhereDriversLookForIt() throws {
    let space = try makeSpace()
    #expect(space.read(offset: 0, width: 4) == 0x1042_1af4)
    #expect(space.read(offset: 8, width: 4) == 0x0180_0001)
    #expect(space.read(offset: 0x2c, width: 4) == 0x0040_1af4)
    #expect(space.read(offset: 0x0e, width: 1) == 0)
    #expect(space.read(offset: 0x0b, width: 1) == 0x01)
  }

  @Test func identityCannotBeWritten() throws {
    var space = try makeSpace()
    let before = space.snapshot()
    for offset in stride(from: 0, to: 256, by: 4) where ![4, 12].contains(offset) {
      #expect(space.write(offset: offset, width: 4, value: .max).isEmpty)
    }
    #expect(space.snapshot() == before)
  }

  @Test func everyAccessHasAnAnswer() throws {
    var space = try makeSpace([try BAR(index: 0, kind: .memory32, size: 0x8000), try BAR(index: 2, kind: .memory64, size: 1 << 33)])
    try space.addCapability(id: 9, body: [UInt8](repeating: 0, count: 14))
    for offset in [Int.min, -1] + Array(0...4200) + [Int.max] {
      for width in [Int.min, -1, 0, 1, 2, 3, 4, 5, 8, 16, Int.max] {
        let isRight = [1, 2, 4].contains(width) && (0..<4096).contains(offset) && offset % 4 + width <= 4
        let value = space.read(offset: offset, width: width)
        if !isRight { #expect(value == .max) }
        if isRight, offset >= 256 { #expect(value == 0) }
        for pattern: UInt32 in [0, .max, 0x5555_5555, 0x8000_0000] { _ = space.write(offset: offset, width: width, value: pattern) }
        if !isRight || offset >= 256 { #expect(space.read(offset: offset, width: width) == value) }
      }
    }
  }

  @Test(arguments: [UInt64(16), 0x1000, 0x8000, 1 << 31]) func sizeOf32BitMemoryIsFoundByWritingOnes(size: UInt64) throws {
    var space = try makeSpace([try BAR(index: 1, kind: .memory32, size: size)])
    _ = space.write(offset: 0x14, width: 4, value: .max)
    let answer = space.read(offset: 0x14, width: 4)
    #expect(UInt64(~(answer & ~15)) + 1 == size)
    #expect(answer & 15 == 0)
  }

  @Test(arguments: [UInt64(16), 0x8000, 1 << 32, 1 << 33, 1 << 62]) func sizeOf64BitMemoryIsFoundByWritingOnes(size: UInt64) throws {
    var space = try makeSpace([try BAR(index: 2, kind: .memory64, size: size, isPrefetchable: true)])
    _ = space.write(offset: 0x18, width: 4, value: .max)
    _ = space.write(offset: 0x1c, width: 4, value: .max)
    let answer = UInt64(space.read(offset: 0x18, width: 4)) | UInt64(space.read(offset: 0x1c, width: 4)) << 32
    #expect(~(answer & ~15) + 1 == size)
    #expect(answer & 15 == 0xc)
  }

  @Test func sizeOfPortsIsFoundByWritingOnes() throws {
    var space = try makeSpace([try BAR(index: 5, kind: .ports, size: 32)])
    _ = space.write(offset: 0x24, width: 4, value: .max)
    #expect(space.read(offset: 0x24, width: 4) == 0xffff_ffe1)
  }

  @Test func impossibleRegistersAreRefused() throws {
    #expect(throws: PCIError.self) { try BAR(index: 6, kind: .memory32, size: 16) }
    #expect(throws: PCIError.self) { try BAR(index: 5, kind: .memory64, size: 16) }
    #expect(throws: PCIError.self) { try BAR(index: -1, kind: .ports, size: 16) }
    #expect(throws: PCIError.self) { try BAR(index: 0, kind: .memory32, size: 8) }
    #expect(throws: PCIError.self) { try BAR(index: 0, kind: .memory32, size: 48) }
    #expect(throws: PCIError.self) { try BAR(index: 0, kind: .memory32, size: 0) }
    #expect(throws: PCIError.self) { try BAR(index: 0, kind: .memory32, size: 1 << 32) }
    #expect(throws: PCIError.self) { try BAR(index: 0, kind: .ports, size: 512) }
    var space = try makeSpace([try BAR(index: 0, kind: .memory64, size: 16)])
    #expect(throws: PCIError.self) { try space.add(try BAR(index: 1, kind: .memory32, size: 16)) }
  }

  @Test func rangesAreDecodedWhenTheCommandRegisterSaysSo() throws {
    let bar = try BAR(index: 0, kind: .memory32, size: 0x1000)
    let io = try BAR(index: 1, kind: .ports, size: 16)
    var space = try makeSpace([bar, io])
    #expect(space.write(offset: 0x10, width: 4, value: 0xe000_0000) == .decoding)
    #expect(space.decodedRange(of: bar) == nil)
    #expect(space.write(offset: 4, width: 2, value: 2) == .decoding)
    #expect(space.decodedRange(of: bar) == BusRange(base: 0xe000_0000, length: 0x1000))
    #expect(space.decodedRange(of: io) == nil)
    #expect(space.write(offset: 4, width: 1, value: 1) == .decoding)
    #expect(space.decodedRange(of: bar) == nil)
    #expect(space.decodedRange(of: io) != nil)
    #expect(space.write(offset: 4, width: 2, value: 0x405) == .interruptLine)
    #expect(space.write(offset: 4, width: 2, value: 0x405).isEmpty)
  }

  @Test func capabilitiesFormAListThatDriversCanWalk() throws {
    var space = try makeSpace()
    #expect(space.read(offset: 6, width: 2) & 0x10 == 0)
    let first = try space.addCapability(id: 0x11, body: [1, 2, 3])
    let second = try space.addCapability(id: 0x09, body: [0xaa, 0xbb], writable: [0xf0])
    #expect(space.read(offset: 6, width: 2) & 0x10 != 0)
    #expect(space.read(offset: 0x34, width: 1) == UInt32(first))
    #expect(space.read(offset: first, width: 2) == UInt32(0x11 | second << 8))
    #expect(second % 4 == 0)
    #expect(space.read(offset: second, width: 2) == 0x09)
    _ = space.write(offset: second, width: 4, value: .max)
    #expect(space.read(offset: second, width: 4) == 0xbbfa_0009)
  }

  @Test func capabilitiesMustFit() throws {
    var space = try makeSpace()
    try space.addCapability(id: 9, body: [UInt8](repeating: 0, count: 186))
    #expect(throws: PCIError.self) { try space.addCapability(id: 9, body: [0, 0, 0]) }
    try space.addCapability(id: 9, body: [0, 0])
    #expect(throws: PCIError.self) { try space.addCapability(id: 9, body: []) }
  }

  @Test func aSnapshotOfAnotherFunctionIsRefused() throws {
    var space = try makeSpace()
    _ = space.write(offset: 4, width: 2, value: 6)
    let saved = space.snapshot()
    var other = try makeSpace()
    try other.restore(saved)
    #expect(other.snapshot() == saved)
    var changed = saved
    changed[2] ^= 1
    #expect(throws: PCIError.self) { try other.restore(changed) }
    #expect(throws: PCIError.self) { try other.restore(Array(saved.dropLast())) }
    #expect(other.snapshot() == saved)
  }
}
