/// The differentiated system description table: the devices that cannot be found by looking, in machine language.
struct DSDT {
  var board: X86Board
  var map: X86AddressMap

  /// Each PC serial port's first I/O port and interrupt.
  private static let serialPorts: [(port: UInt16, interrupt: UInt8)] = [(0x3f8, 4), (0x2f8, 3), (0x3e8, 4), (0x2e8, 3)]

  var table: ACPITable {
    // Revision 2: integers have 64 bits.
    ACPITable("DSDT", revision: 2) { table in
      table.append(bytes: powerOff())
      var devices = [pciRoot(), configurationSpace()]
      devices += board.serialPorts.filter { DSDT.serialPorts.indices.contains($0) }.map(serialPort)
      if board.hasRTC { devices.append(clock()) }
      if board.hasKeyboardController { devices.append(keyboard()) }
      devices.append(panicPort())
      table.append(bytes: AML.scope("_SB", devices))
    }
  }

  /// 7.4.2, `_S5`: the sleep type for PM1a control, and for PM1b, which there is not.
  private func powerOff() -> [UInt8] {
    let type = AML.integer(UInt64(board.power.offSleepType & 7))
    return AML.named("_S5", AML.package([type, type, AML.integer(0), AML.integer(0)]))
  }

  private func pciRoot() -> [UInt8] {
    var resources = ResourceTemplate()
    resources.addBusWindow(0...UInt16(X86Layout.lastPCIBus))
    // Configuration mechanism 1 is the root's own; the ports around it belong to devices.
    resources.addPorts(0xcf8, count: 8)
    resources.addPortWindow(0...0xcf7)
    resources.addPortWindow(0xd00...0xffff)
    resources.addMemoryWindow32(X86Layout.pciWindow32)
    resources.addMemoryWindow64(map.pciWindow64)
    let routes = board.pciInterrupts.routes
    return AML.device(
      "PCI0",
      [
        AML.named("_HID", AML.eisaID("PNP0A08")),
        AML.named("_CID", AML.eisaID("PNP0A03")),
        AML.named("_UID", AML.integer(0)),
        AML.named("_SEG", AML.integer(0)),
        AML.named("_BBN", AML.integer(0)),
        AML.named("_CRS", resources.encoded),
        routes.isEmpty ? [] : AML.named("_PRT", AML.package(routes.map(interruptRoute))),
        pciFeatureControl(),
      ])
  }

  /// 6.2.13: the address of all functions of a slot, the pin, no link device, the interrupt.
  private func interruptRoute(_ route: PCIInterruptRouting.Route) -> [UInt8] {
    AML.package([
      AML.integer(UInt64(route.slot) << 16 | 0xffff), AML.integer(UInt64(route.pin)), AML.integer(0), AML.integer(UInt64(route.gsi)),
    ])
  }

  /// 6.2.11.3, `_OSC` for PCI: the kernel gets control of whatever it asks for, since no firmware wants it.
  private func pciFeatureControl() -> [UInt8] {
    // UUID 33db4d5b-1ff7-401c-9657-7441c03dd766 as a buffer holds it.
    let pci: [UInt8] = [0x5b, 0x4d, 0xdb, 0x33, 0xf7, 0x1f, 0x1c, 0x40, 0x96, 0x57, 0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66]
    let (uuid, revision, capabilities) = (AML.argument(0), AML.argument(1), AML.argument(3))
    let (unknownUUID, unknownRevision) = (AML.integer(1 << 2), AML.integer(1 << 3))
    let status = AML.name("CDW1")
    return AML.method(
      "_OSC", arguments: 4, isSerialized: true,
      [
        AML.doubleWordField(of: capabilities, at: 0, "CDW1"),
        AML.whenever(
          AML.equal(uuid, AML.buffer(pci)),
          [AML.whenever(AML.different(revision, AML.integer(1)), [AML.setBits(unknownRevision, in: status)])]),
        AML.otherwise([AML.setBits(unknownUUID, in: status)]),
        AML.returning(capabilities),
      ])
  }

  /// Claims configuration space: Linux uses it only where a motherboard device does.
  private func configurationSpace() -> [UInt8] {
    var resources = ResourceTemplate()
    resources.addFixedMemory(X86Layout.ecam)
    return AML.device(
      "ECAM",
      [
        AML.named("_HID", AML.eisaID("PNP0C02")), AML.named("_UID", AML.integer(0)), AML.named("_CRS", resources.encoded),
      ])
  }

  private func serialPort(_ number: Int) -> [UInt8] {
    let wiring = DSDT.serialPorts[number]
    var resources = ResourceTemplate()
    resources.addPorts(wiring.port, count: 8)
    resources.addInterrupt(wiring.interrupt)
    return AML.device(
      "COM\(number + 1)",
      [
        AML.named("_HID", AML.eisaID("PNP0501")), AML.named("_UID", AML.integer(UInt64(number + 1))),
        AML.named("_DDN", AML.string("COM\(number + 1)")), AML.named("_CRS", resources.encoded),
      ])
  }

  private func clock() -> [UInt8] {
    var resources = ResourceTemplate()
    resources.addPorts(0x70, count: 2)
    resources.addInterrupt(8)
    return AML.device("RTC", [AML.named("_HID", AML.eisaID("PNP0B00")), AML.named("_CRS", resources.encoded)])
  }

  /// Where a kernel tells of its panic; _STA says present, enabled, working and hidden from users, as the driver expects.
  private func panicPort() -> [UInt8] {
    var resources = ResourceTemplate()
    resources.addPorts(X86Layout.panicPort, count: 1)
    return AML.device(
      "PEVT",
      [AML.named("_HID", AML.string("QEMU0001")), AML.named("_CRS", resources.encoded), AML.named("_STA", AML.integer(0xb))])
  }

  private func keyboard() -> [UInt8] {
    var resources = ResourceTemplate()
    resources.addPorts(0x60, count: 1)
    resources.addPorts(0x64, count: 1)
    resources.addInterrupt(1)
    return AML.device("KBD", [AML.named("_HID", AML.eisaID("PNP0303")), AML.named("_CRS", resources.encoded)])
  }
}
