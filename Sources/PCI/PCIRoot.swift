public import Bus
public import Logging
internal import Synchronization

/// Bus 0 with its 32 slots: finds the device of a configuration access, and first places for base address registers.
public final class PCIRoot: Sendable {
  /// The number of slots; the host bridge has slot 0.
  public static let slotCount = 32

  private struct Slot {
    let device: any PCIDevice
    let placement: BARPlacement
    /// What the device was given first; the guest may have moved since.
    let allocated: [(kind: BAR.Kind, range: BusRange)]
  }

  private struct State {
    var slots: [Slot?]
    var memory32: AddressAllocator
    var memory64: AddressAllocator?
    var ports: AddressAllocator?
  }

  /// How interrupt pins are wired.
  public let routing: PCIInterruptRouting
  /// Where devices may answer.
  public let windows: PCIWindows
  private let memoryBus: Bus
  private let portBus: Bus
  private let logger: Logger
  private let state: Mutex<State>

  /// Makes a bus with nothing but the host bridge.
  ///
  /// - Parameters:
  ///   - memory: The machine's bus of guest-physical addresses.
  ///   - ports: The machine's bus of ports.
  ///   - windows: Where devices may answer; all else is refused to a guest that moves a range there.
  public init(
    memory: Bus, ports: Bus, windows: PCIWindows, routing: PCIInterruptRouting = PCIInterruptRouting(),
    logger: Logger = Logger(label: "crosvm.pci")
  ) {
    self.routing = routing
    self.windows = windows
    memoryBus = memory
    portBus = ports
    self.logger = logger
    let bridge = HostBridge()
    var slots = [Slot?](repeating: nil, count: PCIRoot.slotCount)
    let placement = BARPlacement(device: bridge, memory: memory, ports: ports, windows: windows, logger: logger)
    slots[0] = Slot(device: bridge, placement: placement, allocated: [])
    state = Mutex(
      State(
        slots: slots, memory32: AddressAllocator(window: windows.memory32), memory64: windows.memory64.map { AddressAllocator(window: $0) },
        ports: windows.ports.map { AddressAllocator(window: $0) }))
  }

  deinit {
    for slot in state.withLock({ $0.slots }) { slot?.placement.close() }
  }

  /// Plugs a device in and gives each of its registers an address, so that a guest without firmware finds them assigned.
  ///
  /// Decoding stays off until the guest turns it on. The interrupt line register holds the pin's global system interrupt.
  ///
  /// - Parameter slot: 1...31, or `nil` for the lowest free one.
  /// - Returns: The device's slot.
  /// - Throws: `slotTaken`, `noFreeSlot` or `windowFull`; the bus is then as before.
  @discardableResult
  public func add(_ device: any PCIDevice, slot wanted: Int? = nil) throws(PCIError) -> Int {
    let placement = BARPlacement(device: device, memory: memoryBus, ports: portBus, windows: windows, logger: logger)
    let bars = device.bars
    let (slot, addresses) = try state.withLock { (state: inout State) throws(PCIError) -> (Int, [(BAR, UInt64)]) in
      let slot = try PCIRoot.choose(wanted, in: state)
      let before = (state.memory32, state.memory64, state.ports)
      var allocated: [(kind: BAR.Kind, range: BusRange)] = []
      for bar in bars {
        guard let (kind, range) = PCIRoot.allocate(bar, in: &state) else {
          (state.memory32, state.memory64, state.ports) = before
          throw .windowFull(kind: bar.kind, size: bar.size)
        }
        allocated.append((kind, range))
      }
      state.slots[slot] = Slot(device: device, placement: placement, allocated: allocated)
      return (slot, zip(bars, allocated).map { ($0, $1.range.base) })
    }
    for (bar, address) in addresses {
      device.writeConfiguration(offset: bar.registerOffset, width: 4, value: UInt32(truncatingIfNeeded: address))
      if bar.kind == .memory64 {
        device.writeConfiguration(offset: bar.registerOffset + 4, width: 4, value: UInt32(truncatingIfNeeded: address >> 32))
      }
    }
    if let pin = interruptPin(of: device) {
      device.writeConfiguration(
        offset: PCIConfigurationSpace.Register.interruptLine, width: 1, value: routing.gsi(slot: slot, pin: pin))
    }
    device.connect(placement)
    return slot
  }

  /// Unplugs a device: its ranges leave the buses and its slot is free. The device itself is not stopped.
  ///
  /// - Throws: `emptySlot`, for slot 0 too.
  public func remove(slot: Int) throws(PCIError) {
    let gone = try state.withLock { (state: inout State) throws(PCIError) -> Slot in
      guard (1..<PCIRoot.slotCount).contains(slot), let gone = state.slots[slot] else { throw .emptySlot(slot) }
      state.slots[slot] = nil
      for (kind, range) in gone.allocated {
        switch kind {
        case .memory32: state.memory32.free(range)
        case .memory64: state.memory64?.free(range)
        case .ports: state.ports?.free(range)
        }
      }
      return gone
    }
    gone.placement.close()
  }

  /// The device in a slot.
  public func device(inSlot slot: Int) -> (any PCIDevice)? {
    guard (0..<PCIRoot.slotCount).contains(slot) else { return nil }
    return state.withLock { $0.slots[slot]?.device }
  }

  /// The interrupt pin that a device says it uses, 0 for INTA to 3 for INTD.
  public func interruptPin(of device: any PCIDevice) -> Int? {
    let pin = device.readConfiguration(offset: PCIConfigurationSpace.Register.interruptPin, width: 1) & 0xff
    return (1...4).contains(pin) ? Int(pin) - 1 : nil
  }

  /// Answers a configuration load of bus 0; all ones where there is no device.
  ///
  /// - Parameter function: 0...7; devices have function 0 only.
  func read(slot: Int, function: Int, offset: Int, width: Int) -> UInt32 {
    guard function == 0, let device = device(inSlot: slot) else { return .max }
    return device.readConfiguration(offset: offset, width: width)
  }

  /// Takes a configuration store of bus 0; dropped where there is no device.
  func write(slot: Int, function: Int, offset: Int, width: Int, value: UInt32) {
    guard function == 0, let device = device(inSlot: slot) else { return }
    device.writeConfiguration(offset: offset, width: width, value: value)
  }

  private static func choose(_ wanted: Int?, in state: State) throws(PCIError) -> Int {
    guard let wanted else {
      guard let free = state.slots.firstIndex(where: { $0 == nil }) else { throw .noFreeSlot }
      return free
    }
    guard (1..<slotCount).contains(wanted), state.slots[wanted] == nil else { throw .slotTaken(wanted) }
    return wanted
  }

  /// A 64-bit register goes below 4 GiB only where the machine has no higher window.
  private static func allocate(_ bar: BAR, in state: inout State) -> (BAR.Kind, BusRange)? {
    switch bar.kind {
    case .memory64 where state.memory64 != nil: state.memory64?.allocate(size: bar.size).map { (.memory64, $0) }
    case .memory32, .memory64: state.memory32.allocate(size: bar.size).map { (.memory32, $0) }
    case .ports: state.ports?.allocate(size: bar.size).map { (.ports, $0) }
    }
  }
}
