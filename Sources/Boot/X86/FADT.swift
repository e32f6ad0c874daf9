/// The fixed ACPI description table (ACPI 6.5, 5.2.9): ports of the fixed hardware, and what the machine lacks.
extension ACPITables {
  private static let size = 276
  /// Where the clock keeps the century.
  private static let centuryIndex: UInt8 = 0x32

  /// "Fixed ACPI Description Table Fixed Feature Flags" (table 5.10), by bit.
  private enum Feature {
    static let writeBackInvalidate: UInt32 = 1 << 0
    static let sleepsInC1: UInt32 = 1 << 2
    static let noFixedSleepButton: UInt32 = 1 << 5
    static let noFixedClockWake: UInt32 = 1 << 6
    static let timerHas32Bits: UInt32 = 1 << 8
    static let resetRegister: UInt32 = 1 << 10
  }

  /// "IA-PC Boot Architecture Flags" (table 5.11), by bit.
  private enum BootArchitecture {
    static let legacyDevices: UInt16 = 1 << 0
    static let keyboardController: UInt16 = 1 << 1
    static let noVGA: UInt16 = 1 << 2
    static let noLinkPowerControl: UInt16 = 1 << 4
    static let noClock: UInt16 = 1 << 5
  }

  func fadt(facs: UInt64, dsdt: UInt64) -> ACPITable {
    let power = board.power
    return ACPITable("FACP", revision: 6) { table in
      table.append(zeros: ACPITables.size - table.count)
      table.set(UInt32(truncatingIfNeeded: facs), at: 36)
      table.set(UInt32(truncatingIfNeeded: dsdt), at: 40)
      table.set(UInt16(power.interrupt), at: 46)
      table.set(UInt32(power.eventPort), at: 56)
      table.set(UInt32(power.controlPort), at: 64)
      table.set(UInt8(4), at: 88)
      table.set(UInt8(2), at: 89)
      // Entering C2 and C3 takes longer than the limits: there are none.
      table.set(UInt16(0xffff), at: 96)
      table.set(UInt16(0xffff), at: 98)
      if board.hasRTC { table.set(ACPITables.centuryIndex, at: 108) }
      table.set(bootArchitecture, at: 109)
      table.set(features, at: 112)
      table.set(bytes: ACPITables.ioRegister(power.resetPort, bits: 8, access: 1), at: 116)
      table.set(power.resetValue, at: 128)
      table.set(UInt8(5), at: 131)  // minor revision
      table.set(dsdt, at: 140)
      table.set(bytes: ACPITables.ioRegister(power.eventPort, bits: 32, access: 2), at: 148)
      table.set(bytes: ACPITables.ioRegister(power.controlPort, bits: 16, access: 2), at: 172)
      if let timer = power.timerPort {
        table.set(UInt32(timer), at: 76)
        table.set(UInt8(4), at: 91)
        table.set(bytes: ACPITables.ioRegister(timer, bits: 32, access: 3), at: 208)
      }
      table.set(bytes: Array("CROSVM".utf8), at: 268)
    }
  }

  private var features: UInt32 {
    var flags = Feature.writeBackInvalidate | Feature.sleepsInC1 | Feature.noFixedSleepButton | Feature.noFixedClockWake
    flags |= Feature.resetRegister
    if board.power.timerPort != nil { flags |= Feature.timerHas32Bits }
    return flags
  }

  private var bootArchitecture: UInt16 {
    var flags = BootArchitecture.noVGA | BootArchitecture.noLinkPowerControl
    if !board.serialPorts.isEmpty || board.hasRTC { flags |= BootArchitecture.legacyDevices }
    if board.hasKeyboardController { flags |= BootArchitecture.keyboardController }
    if !board.hasRTC { flags |= BootArchitecture.noClock }
    return flags
  }

  /// A generic address (5.2.3.2) in I/O space; `access` is the width of an access: 1 for 8, 2 for 16, 3 for 32 bits.
  private static func ioRegister(_ port: UInt16, bits: UInt8, access: UInt8) -> [UInt8] {
    var register = TableBytes()
    register.append(bytes: [1, bits, 0, access])
    register.append(UInt64(port))
    return register.bytes
  }
}
