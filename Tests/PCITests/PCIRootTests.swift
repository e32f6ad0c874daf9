import Bus
import PCI
import Synchronization
import Testing

@Suite struct PCIRootTests {
  private func select(_ slot: Int, _ register: Int, function: Int = 0, bus: Int = 0) -> UInt64 {
    UInt64(0x8000_0000 | bus << 16 | slot << 11 | function << 8 | register)
  }

  @Test func theHostBridgeIsInSlotZero() throws {
    let machine = try TestMachine()
    let ports = ConfigurationPorts(root: machine.root) {}
    ports.write(offset: 0, width: 4, value: select(0, 0))
    #expect(ports.read(offset: 4, width: 4) == 0x1237_8086)
    ports.write(offset: 0, width: 4, value: select(0, 8))
    #expect(ports.read(offset: 6, width: 2) == 0x0600)
    #expect(ECAM(root: machine.root).read(offset: 0, width: 4) == 0x1237_8086)
  }

  @Test func bothMechanismsReachTheSameRegisters() throws {
    let machine = try TestMachine()
    let slot = try machine.root.add(try PlainDevice())
    let ports = ConfigurationPorts(root: machine.root) {}
    let ecam = ECAM(root: machine.root)
    ports.write(offset: 0, width: 4, value: select(slot, 0x0c))
    ports.write(offset: 4, width: 1, value: 0x40)
    #expect(ecam.read(offset: UInt64(slot) << 15 | 0x0c, width: 1) == 0x40)
    ecam.write(offset: UInt64(slot) << 15 | 0x0c, width: 1, value: 0x80)
    #expect(ports.read(offset: 4, width: 1) == 0x80)
    #expect(ports.read(offset: 0, width: 4) == select(slot, 0x0c))
  }

  @Test func theLatchTakesOnlyAccessesOfFourBytes() throws {
    let machine = try TestMachine()
    let ports = ConfigurationPorts(root: machine.root) {}
    // What Linux does to find the mechanism.
    ports.write(offset: 3, width: 1, value: 1)
    #expect(ports.read(offset: 0, width: 4) == 0)
    ports.write(offset: 0, width: 4, value: 0x8000_0000)
    #expect(ports.read(offset: 0, width: 4) == 0x8000_0000)
    ports.write(offset: 0, width: 2, value: 0)
    ports.write(offset: 0, width: 1, value: 0)
    #expect(ports.read(offset: 0, width: 4) == 0x8000_0000)
    ports.write(offset: 0, width: 4, value: 0xffff_ffff)
    #expect(ports.read(offset: 0, width: 4) == 0x80ff_fffc)
    ports.write(offset: 0, width: 4, value: 0)
    #expect(ports.read(offset: 4, width: 4) == .max)
  }

  @Test func absentDevicesReadAsOnes() throws {
    let machine = try TestMachine()
    try machine.root.add(try PlainDevice(), slot: 3)
    let ecam = ECAM(root: machine.root)
    let ports = ConfigurationPorts(root: machine.root) {}
    for slot in 0..<32 where slot != 0 && slot != 3 {
      #expect(ecam.read(offset: UInt64(slot) << 15, width: 4) & 0xffff_ffff == 0xffff_ffff)
    }
    for function in 1..<8 { #expect(ecam.read(offset: UInt64(3 << 15 | function << 12), width: 4) & 0xffff_ffff == 0xffff_ffff) }
    #expect(ecam.read(offset: 1 << 20, width: 4) == .max)
    #expect(ecam.read(offset: .max, width: 4) == .max)
    ports.write(offset: 0, width: 4, value: select(3, 0, bus: 1))
    #expect(ports.read(offset: 4, width: 4) == .max)
  }

  @Test func theResetRegisterAsksForAReset() throws {
    let machine = try TestMachine()
    let count = Mutex(0)
    let ports = ConfigurationPorts(root: machine.root) { count.withLock { $0 += 1 } }
    ports.write(offset: 1, width: 1, value: 0x02)
    #expect(count.withLock { $0 } == 0)
    #expect(ports.read(offset: 1, width: 1) == 0x02)
    ports.write(offset: 1, width: 1, value: 0x06)
    #expect(count.withLock { $0 } == 1)
    ports.write(offset: 1, width: 2, value: 0x0606)
    ports.write(offset: 0, width: 4, value: 0x8000_0600)
    #expect(count.withLock { $0 } == 1)
  }

  @Test func everyPortAccessHasAnAnswer() throws {
    let machine = try TestMachine()
    try machine.root.add(try PlainDevice(bars: [try BAR(index: 0, kind: .memory32, size: 0x1000)]))
    let ports = ConfigurationPorts(root: machine.root) {}
    for address in [0, UInt64.max, 0x8000_0000, 0x8000_0810, 0x8000_08fc, 0x8001_0000] {
      ports.write(offset: 0, width: 4, value: address)
      for offset in UInt64(0)...9 {
        for width in 1...8 {
          _ = ports.read(offset: offset, width: width)
          if offset != 0 { ports.write(offset: offset, width: width, value: .max) }
        }
      }
    }
  }

  @Test func everyMemoryMappedAccessHasAnAnswer() throws {
    let machine = try TestMachine()
    try machine.root.add(try PlainDevice(bars: [try BAR(index: 0, kind: .memory64, size: 1 << 32)]))
    let ecam = ECAM(root: machine.root)
    for offset in UInt64(0)..<(3 << 15) where offset & 0x7000 < 0x2000 {
      for width in 1...8 {
        let value = ecam.read(offset: offset, width: width)
        if ![1, 2, 4].contains(width) || offset % 4 + UInt64(width) > 4 { #expect(value & 0xff == 0xff) }
        ecam.write(offset: offset, width: width, value: .max)
      }
    }
  }

  @Test func thirtyOneDevicesFitAndNoMore() throws {
    let machine = try TestMachine()
    var bases: Set<UInt64> = []
    for expected in 1...31 {
      let device = try PlainDevice(bars: [try BAR(index: 0, kind: .memory32, size: 0x8000)], pin: 0)
      #expect(try machine.root.add(device) == expected)
      device.writeConfiguration(offset: 4, width: 2, value: 2)
      bases.insert(try #require(device.base(0)))
      #expect(device.readConfiguration(offset: 0x3c, width: 1) == UInt32(16 + expected % 8))
    }
    #expect(bases.count == 31)
    #expect(throws: PCIError.noFreeSlot) { try machine.root.add(try PlainDevice()) }
  }

  @Test func slotsAreGivenOnceAndCanBeFreed() throws {
    let machine = try TestMachine()
    let device = try PlainDevice(bars: [try BAR(index: 0, kind: .memory32, size: 0x8000)])
    #expect(try machine.root.add(device, slot: 5) == 5)
    device.writeConfiguration(offset: 4, width: 2, value: 2)
    let base = try #require(device.base(0))
    #expect(machine.load(base) == 0xa5a5_a5a5_a5a5_a5a5)
    #expect(throws: PCIError.slotTaken(5)) { try machine.root.add(try PlainDevice(), slot: 5) }
    #expect(throws: PCIError.slotTaken(0)) { try machine.root.add(try PlainDevice(), slot: 0) }
    #expect(throws: PCIError.slotTaken(32)) { try machine.root.add(try PlainDevice(), slot: 32) }
    try machine.root.remove(slot: 5)
    #expect(machine.load(base) == .max)
    // The device that is gone cannot come back by itself.
    device.writeConfiguration(offset: 4, width: 2, value: 0)
    device.writeConfiguration(offset: 4, width: 2, value: 2)
    #expect(machine.load(base) == .max)
    #expect(throws: PCIError.emptySlot(5)) { try machine.root.remove(slot: 5) }
    #expect(throws: PCIError.emptySlot(0)) { try machine.root.remove(slot: 0) }
    let next = try PlainDevice(bars: [try BAR(index: 0, kind: .memory32, size: 0x8000)])
    #expect(try machine.root.add(next) == 1)
    next.writeConfiguration(offset: 4, width: 2, value: 2)
    #expect(next.base(0) == base)
  }

  @Test func devicesEndWithTheirBus() throws {
    var machine: TestMachine? = try TestMachine()
    let memory = try #require(machine).memory
    weak var device: PlainDevice?
    do {
      let made = try PlainDevice(bars: [try BAR(index: 0, kind: .memory32, size: 0x1000)])
      try machine?.root.add(made)
      made.writeConfiguration(offset: 4, width: 2, value: 2)
      device = made
    }
    #expect(device != nil)
    machine = nil
    #expect(device == nil)
    var view = BusView(memory)
    #expect(view.read(0xd000_0000, width: 4) == .max)
  }

  @Test func registersAreAssignedInTheirWindowsNaturallyAligned() throws {
    let machine = try TestMachine()
    let device = try PlainDevice(bars: [
      try BAR(index: 0, kind: .memory32, size: 0x100), try BAR(index: 1, kind: .memory32, size: 0x10_0000),
      try BAR(index: 2, kind: .memory64, size: 1 << 33), try BAR(index: 4, kind: .ports, size: 64),
    ])
    try machine.root.add(device)
    #expect(device.base(0) == nil)
    device.writeConfiguration(offset: 4, width: 2, value: 3)
    #expect(device.base(0) == 0xd000_0000)
    #expect(device.base(1) == 0xd010_0000)
    #expect(device.base(2) == 0x10_0000_0000)
    #expect(device.base(4) == 0xc000)
    var ports = BusView(machine.ports)
    #expect(ports.read(0xc03c, width: 4) == 0xa5a5_a5a5_a5a5_a5a5)
  }

  @Test func aWindowThatIsFullIsAnError() throws {
    let machine = try TestMachine()
    let half = try BAR(index: 0, kind: .memory32, size: 0x1000_0000)
    try machine.root.add(try PlainDevice(bars: [half]))
    try machine.root.add(try PlainDevice(bars: [half]))
    #expect(throws: PCIError.windowFull(kind: .memory32, size: 0x1000_0000)) { try machine.root.add(try PlainDevice(bars: [half])) }
    #expect(machine.root.device(inSlot: 3) == nil)
  }

  @Test func interruptPinsAreSpreadOverTheLines() {
    let routing = PCIInterruptRouting()
    #expect(routing.gsi(slot: 0, pin: 0) == 16)
    #expect(routing.gsi(slot: 7, pin: 0) == 23)
    #expect(routing.gsi(slot: 7, pin: 1) == 16)
    #expect(routing.gsi(slot: 31, pin: 3) == 18)
    #expect(routing.gsi(slot: .max, pin: .min) < 24)
    #expect(PCIInterruptRouting(firstGSI: 5, lineCount: 0).gsi(slot: 9, pin: 2) == 5)
  }
}
