public import Bus
internal import GuestMemory
public import Interrupts
public import Logging
public import PCI
internal import Platform
internal import Synchronization

/// Puts a virtio device on the PCI bus (virtio 1.2, section 4.1), without the legacy interface.
///
/// One lock guards registers and device; it is held while the device starts and stops. Notifications, the interrupt status byte and the
/// vectors work without it, so that neither a busy register nor a stopping device holds up the others.
public final class VirtioPCIDevice: PCIDevice, BusDevice {
  struct State {
    var space: PCIConfigurationSpace
    var decoding = BARDecoding()
    var common: CommonConfiguration
    /// The device has been activated and not been reset since.
    var isActive = false
    /// The queues that the device serves, while active; the device's threads use them.
    var queues: [VirtQueue?] = []
    /// Where the enabled queues' events are attached: the base of the range, while active.
    var doorbellBase: UInt64?
  }

  /// The name of the device in log lines.
  public let name: String
  /// The one range of memory.
  public let bars: [BAR]
  /// The device behind the transport.
  public let device: any VirtioDevice
  let host: VirtioPCIHost
  private let line: LevelInterrupt?
  let msix: MSIX
  let interrupt: VirtioPCIInterrupt
  let capabilities: VirtioPCICapabilities
  /// An event for each queue, signalled by the driver's notifications.
  let doorbells: [EventFD]
  let log: DeviceLog
  let state: Mutex<State>

  /// Makes the transport around a device at rest.
  ///
  /// - Parameters:
  ///   - name: Names the device in log lines, for example `block0`.
  ///   - line: The line for drivers without MSI-X, one of the device's own, which the machine attaches to the interrupt that the slot is
  ///     wired to; `nil` for a device that has none.
  ///   - offersPackedRing: Whether the driver may choose packed rings.
  /// - Throws: `PCIError` when the device has more queues than the range has room for, or `SystemError` when events cannot be made.
  public init(
    _ device: any VirtioDevice, name: String, host: VirtioPCIHost, interrupt line: LevelInterrupt?, offersPackedRing: Bool = false,
    logger: Logger
  ) throws {
    let sizes = device.queueSizes
    guard sizes.count <= VirtioPCILayout.maximumQueueCount else {
      throw PCIError.badBAR(index: VirtioPCILayout.bar, reason: "there is no room for the notifications of \(sizes.count) queues")
    }
    self.device = device
    self.name = name
    self.host = host
    self.line = line
    log = DeviceLog(device: name, logger: logger)
    doorbells = try sizes.map { _ in try EventFD() }
    let bar = try BAR(index: VirtioPCILayout.bar, kind: .memory32, size: VirtioPCILayout.size)
    bars = [bar]
    // A vector for each queue and one for configuration changes; a driver shares them where there are fewer.
    msix = try MSIX(
      name: name, vectorCount: min(sizes.count + 1, VirtioPCILayout.maximumVectorCount), allocator: host.messages, logger: logger)
    interrupt = VirtioPCIInterrupt(msix: msix, line: line, queueCount: sizes.count, log: log)
    var space = PCIConfigurationSpace(identity: PCIIdentity(device.type))
    try space.add(bar)
    if line != nil { space.setInterruptPin(0) }
    capabilities = try VirtioPCICapabilities(addingTo: &space, queueCount: sizes.count, msix: msix)
    let common = CommonConfiguration(
      offeredFeatures: VirtioPCIDevice.offer(device.features, packed: offersPackedRing), queueSizes: sizes, shared: interrupt)
    state = Mutex(State(space: space, common: common))
    if let line {
      try host.loop.add(line.resample.number) { [interrupt] _ in
        line.resample.drain()
        interrupt.resample()
      }
    }
  }

  deinit {
    if let line { host.loop.remove(line.resample.number) }
    stop()
  }

  private static func offer(_ features: UInt64, packed: Bool) -> UInt64 {
    let rings = packed ? VirtioFeatures.implementedByQueues : VirtioFeatures.implementedByQueues & ~VirtioFeatures.packedRing
    return features & ~VirtioFeatures.reservedForTransport | rings
  }

  // MARK: PCIDevice

  /// Takes the host of the device's range.
  public func connect(_ host: any BARHost) {
    state.withLock { state in
      state.decoding.connect(host)
      followDecoding(&state)
    }
  }

  /// The device itself answers in its range.
  public func busDevice(forBAR index: Int) -> any BusDevice { self }

  /// Answers a configuration load.
  public func readConfiguration(offset: Int, width: Int) -> UInt32 {
    state.withLock { state in
      if touchesWindow(offset, width) { loadWindow(&state) }
      state.space.setInterruptStatus(interrupt.isAssertingLine)
      return state.space.read(offset: offset, width: width)
    }
  }

  /// Takes a configuration store.
  public func writeConfiguration(offset: Int, width: Int, value: UInt32) {
    state.withLock { state in
      let effect = state.space.write(offset: offset, width: width, value: value)
      if effect.contains(.decoding) { followDecoding(&state) }
      if effect.contains(.interruptLine) { interrupt.disableLine(state.space.command.contains(.disablesInterruptLine)) }
      if (capabilities.msix..<capabilities.msix + 4).contains(offset) {
        msix.update(from: state.space, capability: capabilities.msix)
        // What the driver has not yet taken from the status byte goes to the line, if that is in use again.
        interrupt.resample()
      }
      if touchesWindow(offset, width) { storeWindow(&state) }
    }
  }

  /// Asks the host for the range that the registers say now, and takes the doorbells along.
  func followDecoding(_ state: inout State) {
    guard state.decoding.update(from: state.space).contains(VirtioPCILayout.bar) else { return }
    detachDoorbells(&state)
    attachDoorbells(&state)
  }

  // MARK: The window in configuration space (section 4.1.4.9)

  private func touchesWindow(_ offset: Int, _ width: Int) -> Bool {
    // The list of capabilities ends below 256, so that nothing overflows for an offset in it.
    (1...4).contains(width) && capabilities.windowData.overlaps(min(max(offset, 0), 4095)..<(min(max(offset, 0), 4095) + width))
  }

  private func loadWindow(_ state: inout State) {
    guard let target = capabilities.windowTarget(in: state.space) else { return }
    let value = load(target.offset, target.width, &state)
    state.space.setField(capabilities.windowData.lowerBound, UInt32(truncatingIfNeeded: value))
  }

  private func storeWindow(_ state: inout State) {
    guard let target = capabilities.windowTarget(in: state.space) else { return }
    let value = state.space.field(capabilities.windowData.lowerBound)
    store(target.offset, target.width, UInt64(value), &state)
  }

  // MARK: The range

  /// Answers a load from the device's range.
  public func read(offset: UInt64, width: Int) -> UInt64 {
    switch VirtioPCILayout.place(offset, width) {
    case .interruptStatus: UInt64(interrupt.takeCauses())
    case .vectorTable(let offset): msix.readTable(offset: offset, width: width)
    case .pendingBits(let offset): msix.readPending(offset: offset, width: width)
    case .notify: 0
    case .common, .device: state.withLock { load(offset, width, &$0) }
    case nil: VirtioPCIDevice.allOnes
    }
  }

  /// Takes a store to the device's range.
  public func write(offset: UInt64, width: Int, value: UInt64) {
    switch VirtioPCILayout.place(offset, width) {
    case .notify(let offset): notify(offset)
    case .vectorTable(let offset): msix.writeTable(offset: offset, width: width, value: value)
    case .common, .device: state.withLock { store(offset, width, value, &$0) }
    case .interruptStatus, .pendingBits, nil: break
    }
  }

  private func load(_ offset: UInt64, _ width: Int, _ state: inout State) -> UInt64 {
    switch VirtioPCILayout.place(offset, width) {
    case .common(let offset): state.common.read(offset, width)
    case .device(let offset): device.readConfiguration(offset: offset, width: width)
    case .interruptStatus, .notify, .vectorTable, .pendingBits, nil: read(offset: offset, width: width)
    }
  }

  private func store(_ offset: UInt64, _ width: Int, _ value: UInt64, _ state: inout State) {
    switch VirtioPCILayout.place(offset, width) {
    case .common(let offset): if let status = state.common.write(offset, width, value) { setStatus(status, &state) }
    case .device(let offset): device.writeConfiguration(offset: offset, width: width, value: value & (.max >> UInt64(64 - 8 * width)))
    case .interruptStatus, .notify, .vectorTable, .pendingBits, nil: write(offset: offset, width: width, value: value)
    }
  }

  /// Wakes a queue; a notification comes this way only where no registrar catches it. Before DRIVER_OK nobody listens (section 2.1.2).
  private func notify(_ offset: UInt64) {
    let queue = Int(offset / VirtioPCILayout.notifyMultiplier)
    guard offset % VirtioPCILayout.notifyMultiplier == 0, queue < doorbells.count, interrupt.status.contains(.driverOK) else { return }
    doorbells[queue].signal()
  }
}
