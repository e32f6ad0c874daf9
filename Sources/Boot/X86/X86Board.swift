/// What the tables tell the kernel about the machine around it.
public struct X86Board: Sendable {
  /// The number of vCPUs, 1 to 254; vCPU n has the APIC number n.
  public var processors: Int
  /// Where the interrupt pins of the PCI slots lead.
  public var pciInterrupts: PCIInterruptRouting
  /// Which of the four PC serial ports there are, 0 for 0x3f8 to 3 for 0x2e8.
  public var serialPorts: [Int] = [0, 1, 2, 3]
  /// Whether there is a CMOS clock at port 0x70.
  public var hasRTC = true
  /// Whether there is a keyboard controller that answers commands (a bare reset line at port 0x64 does not count).
  public var hasKeyboardController = false
  /// Whether there is a pair of 8259 interrupt controllers.
  public var hasPIC = true
  /// The I/O APIC input of the interval timer (KVM's default routing says 0, real boards 2); `nil` without one.
  public var timerInput: UInt32? = 2
  /// Reset, power-off and power button.
  public var power = ACPIPower()
  /// The system's identity for SMBIOS, 16 bytes in the order RFC 4122 writes them; all zero for none.
  public var systemUUID = [UInt8](repeating: 0, count: 16)

  /// A board with the usual devices; change its properties for others.
  public init(processors: Int, pciInterrupts: PCIInterruptRouting) {
    self.processors = processors
    self.pciInterrupts = pciInterrupts
  }

  /// The I/O APIC's number: the first that no vCPU has.
  var ioapicNumber: UInt8 { UInt8(clamping: processors) }

  static let maximumProcessors = 254

  /// Checks what the tables cannot express.
  ///
  /// - Throws: `BootError.tables`.
  func validate() throws(BootError) {
    guard (1...X86Board.maximumProcessors).contains(processors) else {
      throw .tables(.badProcessorCount(processors, maximum: X86Board.maximumProcessors))
    }
    for route in pciInterrupts.routes where route.gsi >= UInt32(X86Layout.ioapicInputs) {
      throw .tables(.badInterrupt(route.gsi, inputs: X86Layout.ioapicInputs))
    }
  }
}

/// Where the interrupt pins of the slots on PCI bus 0 lead.
public struct PCIInterruptRouting: Equatable, Sendable {
  /// One pin of one slot.
  public struct Route: Equatable, Sendable {
    /// The device number, 0 to 31.
    public let slot: Int
    /// The pin, 0 for INTA# to 3 for INTD#.
    public let pin: Int
    /// The I/O APIC's input.
    public let gsi: UInt32
  }

  /// All pins that lead anywhere, by slot and pin.
  public let routes: [Route]

  /// Asks `gsi` for each of the 4 pins of the 32 slots; `nil` for a pin that leads nowhere.
  public init(_ gsi: (_ slot: Int, _ pin: Int) -> UInt32?) {
    var routes: [Route] = []
    for slot in 0..<32 {
      for pin in 0..<4 {
        if let input = gsi(slot, pin) { routes.append(Route(slot: slot, pin: pin, gsi: input)) }
      }
    }
    self.routes = routes
  }
}

/// The ACPI fixed hardware: ports at which the kernel resets the machine, turns it off, and hears of the power button.
public struct ACPIPower: Equatable, Sendable {
  /// PM1 status and enable, 4 ports.
  public var eventPort = X86Layout.pm1EventPort
  /// PM1 control, 2 ports. Turning off writes `offSleepType` shifted by 10, with bit 13.
  public var controlPort = X86Layout.pm1ControlPort
  /// The PM timer, 4 ports, 32 bits wide; `nil` without one.
  public var timerPort: UInt16?
  /// The sleep type that turns the machine off, 0 to 7.
  public var offSleepType: UInt8 = 5
  /// The port whose writing resets the machine.
  public var resetPort = X86Layout.resetPort
  /// The value to write there.
  public var resetValue: UInt8 = 6
  /// The system control interrupt: level-triggered, active high.
  public var interrupt: UInt8 = 9

  /// The PC's usual ports, without a PM timer.
  public init() {}
}
