import Bus
import PCI
import Testing

/// A guest that moves ranges about, well and badly.
@Suite struct BARMoveTests {
  private func makeDevice(in machine: TestMachine, size: UInt64 = 0x8000, kind: BAR.Kind = .memory32) throws -> PlainDevice {
    let device = try PlainDevice(bars: [try BAR(index: 0, kind: kind, size: size)])
    try machine.root.add(device)
    device.writeConfiguration(offset: 4, width: 2, value: 2)
    return device
  }

  @Test func aRangeFollowsItsRegister() throws {
    let machine = try TestMachine()
    let device = try makeDevice(in: machine)
    let old = try #require(device.base(0))
    device.writeConfiguration(offset: 0x10, width: 4, value: 0xe123_8000)
    #expect(device.base(0) == 0xe123_8000)
    #expect(machine.load(old) == .max)
    #expect(machine.load(0xe123_8000) == 0xa5a5_a5a5_a5a5_a5a5)
    #expect(machine.load(0xe123_fffc) == 0xa5a5_a5a5_a5a5_a5a5)
    #expect(machine.load(0xe123_fffe) == .max)
    device.writeConfiguration(offset: 4, width: 2, value: 0)
    #expect(machine.load(0xe123_8000) == .max)
  }

  @Test func lowBitsOfAnAddressAreIgnored() throws {
    let machine = try TestMachine()
    let device = try makeDevice(in: machine)
    device.writeConfiguration(offset: 0x10, width: 4, value: 0xe123_9abc)
    #expect(device.base(0) == 0xe123_8000)
  }

  @Test(arguments: [UInt32(0), 0x1000, 0xcfff_8000, 0xf000_0000, 0xfee0_0000, 0xffff_8000]) func aRangeCannotLeaveTheWindows(base: UInt32)
    throws
  {
    let machine = try TestMachine()
    let device = try makeDevice(in: machine)
    let old = try #require(device.base(0))
    device.writeConfiguration(offset: 0x10, width: 4, value: base)
    #expect(device.base(0) == nil)
    #expect(machine.load(old) == .max)
    #expect(machine.load(UInt64(base)) == .max)
    device.writeConfiguration(offset: 0x10, width: 4, value: UInt32(old))
    #expect(machine.load(old) == 0xa5a5_a5a5_a5a5_a5a5)
  }

  @Test func aRangeCannotCoverAnotherDevice() throws {
    let machine = try TestMachine()
    let first = try makeDevice(in: machine)
    let second = try makeDevice(in: machine, size: 0x10_0000)
    let taken = try #require(first.base(0))
    second.writeConfiguration(offset: 0x10, width: 4, value: UInt32(taken))
    #expect(second.base(0) == nil)
    #expect(first.base(0) == taken)
    #expect(machine.load(taken) == 0xa5a5_a5a5_a5a5_a5a5)
    try machine.memory.insert(Obstacle(), at: try range(0xe000_4000, 0x1000))
    first.writeConfiguration(offset: 0x10, width: 4, value: 0xe000_0000)
    #expect(first.base(0) == nil)
    #expect(machine.load(0xe000_4000) == 0x11)
    first.writeConfiguration(offset: 0x10, width: 4, value: 0xe000_8000)
    #expect(first.base(0) == 0xe000_8000)
  }

  @Test func twoRegistersOfADeviceCanChangePlaces() throws {
    let machine = try TestMachine()
    let device = try PlainDevice(bars: [try BAR(index: 0, kind: .memory32, size: 0x1000), try BAR(index: 1, kind: .memory32, size: 0x1000)])
    try machine.root.add(device)
    device.writeConfiguration(offset: 4, width: 2, value: 2)
    let (first, second) = (try #require(device.base(0)), try #require(device.base(1)))
    device.writeConfiguration(offset: 4, width: 2, value: 0)
    device.writeConfiguration(offset: 0x10, width: 4, value: UInt32(second))
    device.writeConfiguration(offset: 0x14, width: 4, value: UInt32(first))
    device.writeConfiguration(offset: 4, width: 2, value: 2)
    #expect(device.base(0) == second)
    #expect(device.base(1) == first)
    // With decoding on, the first step meets the other register and is refused; the second makes room, and writing again helps.
    device.writeConfiguration(offset: 0x10, width: 4, value: UInt32(first))
    #expect(device.base(0) == nil)
    device.writeConfiguration(offset: 0x14, width: 4, value: UInt32(second))
    #expect(device.base(1) == second)
    device.writeConfiguration(offset: 4, width: 2, value: 0)
    device.writeConfiguration(offset: 4, width: 2, value: 2)
    #expect(device.base(0) == first)
  }

  @Test func aSizedRegisterIsNowhereUntilItsAddressIsBack() throws {
    let machine = try TestMachine()
    let device = try makeDevice(in: machine)
    let base = try #require(device.base(0))
    device.writeConfiguration(offset: 0x10, width: 4, value: .max)
    #expect(device.base(0) == nil)
    #expect(device.readConfiguration(offset: 0x10, width: 4) == 0xffff_8000)
    device.writeConfiguration(offset: 0x10, width: 4, value: UInt32(base))
    #expect(device.base(0) == base)
  }

  @Test func halvesOfA64BitAddressNeverPutARangeOutsideTheWindows() throws {
    let machine = try TestMachine()
    let device = try makeDevice(in: machine, size: 1 << 20, kind: .memory64)
    #expect(device.base(0) == 0x10_0000_0000)
    device.writeConfiguration(offset: 0x10, width: 4, value: 0xfff0_0000)
    #expect(device.base(0) == 0x10_fff0_0000)
    device.writeConfiguration(offset: 0x14, width: 4, value: 0)
    #expect(device.base(0) == nil)
    device.writeConfiguration(offset: 0x10, width: 4, value: 0xd000_0000)
    #expect(device.base(0) == 0xd000_0000)
    device.writeConfiguration(offset: 0x14, width: 4, value: .max)
    #expect(device.base(0) == nil)
    device.writeConfiguration(offset: 0x10, width: 4, value: .max)
    #expect(device.base(0) == nil)
    device.writeConfiguration(offset: 0x14, width: 1, value: 0x1f)
    #expect(device.base(0) == nil)
    for offset in 0x15...0x17 { device.writeConfiguration(offset: offset, width: 1, value: 0) }
    #expect(device.base(0) == 0x1f_fff0_0000)
  }

  @Test func aBridgeWithoutWindowForPortsGivesNone() throws {
    let root = PCIRoot(memory: Bus(), ports: Bus(), windows: PCIWindows(memory32: try range(0xd000_0000, 0x1000)))
    #expect(throws: PCIError.self) { try root.add(try PlainDevice(bars: [try BAR(index: 0, kind: .ports, size: 16)])) }
    // Without a high window, 64-bit registers go below 4 GiB.
    let device = try PlainDevice(bars: [try BAR(index: 0, kind: .memory64, size: 0x1000)])
    try root.add(device)
    device.writeConfiguration(offset: 4, width: 2, value: 2)
    #expect(device.base(0) == 0xd000_0000)
  }
}
