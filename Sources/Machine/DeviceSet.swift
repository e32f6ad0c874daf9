internal import BasicDevices
internal import BlockDevice
internal import Boot
internal import Bus
internal import Glibc
internal import GuestMemory
internal import Interrupts
internal import Logging
internal import NetDevice
internal import PCI
internal import Platform
internal import PlatformDevices
internal import Virtio
internal import VsockDevice

/// All devices of a machine, on their buses.
final class DeviceSet: Sendable {
  /// What the tables in guest memory say about the devices.
  let description: X86Board
  private let pluggedDevices: [any PluggedDevice]
  private let ports: SerialPorts
  private let power: ACPIPowerManagement
  /// The memory balloon, where there is one.
  let balloon: BalloonOperator?
  /// How long the devices' processes have for their end, in milliseconds.
  private static let patience: Int32 = 5000
  /// The disks, in the order of the configuration.
  let disks: [DiskOperator]
  /// The network cards, in the order of the configuration.
  let networkCards: [NetOperator]

  /// Builds the devices and registers them.
  ///
  /// - Parameters:
  ///   - processes: Makes a process for each virtio device; `nil` to have them in this one.
  ///   - deviceLogger: Where the device of a name reports.
  init(
    configuration: VMConfiguration, board: Board, map: X86AddressMap, memory: GuestMemory, persistentMemory: [PersistentMemory],
    sockets: VsockSockets?, processes: DeviceProcesses?, logger: Logger, deviceLogger: (String) -> Logger
  ) throws {
    ports = try SerialPorts(configuration: configuration, logger: logger)
    let plan = try DeviceList.plan(configuration, persistentMemory, sockets: sockets, ports: ports, logger: deviceLogger)
    let plug = DevicePlug(root: try Self.makeRoot(board: board, map: map), board: board, memory: memory)
    // The processes come to life while the rest of the machine is set up.
    let begun = try plan.map { try plug.begin($0, processes, logger: deviceLogger($0.name)) }
    try ports.attach(to: board)
    try Self.watchStores(to: persistentMemory, on: board.memoryBus, logger: deviceLogger)
    power = try PlatformDeviceList(configuration: configuration, map: map).attach(to: board)
    pluggedDevices = try begun.map { try plug.finish($0) }
    disks = pluggedDevices.prefix(configuration.disks.count).map { device in DiskOperator { try device.perform($0) } }
    networkCards = zip(plan, pluggedDevices).filter { $0.0.blueprint is any NetworkCard }.map { _, device in
      NetOperator { try device.perform($0) }
    }
    balloon = pluggedDevices.first { $0.name == DeviceList.balloonName }.map { device in BalloonOperator { try device.perform($0) } }
    description = Self.describe(configuration, root: plug.root, board: board)
  }

  private static func makeRoot(board: Board, map: X86AddressMap) throws -> PCIRoot {
    let windows = PCIWindows(memory32: try range(X86Layout.pciWindow32), memory64: try range(map.pciWindow64))
    let root = PCIRoot(memory: board.memoryBus, ports: board.ports, windows: windows)
    let control = board.control
    try board.ports.insert(
      ConfigurationPorts(root: root, onReset: { control.end(.reset) }), base: ConfigurationPorts.basePort,
      length: ConfigurationPorts.portCount)
    try board.memoryBus.insert(
      ECAM(root: root), base: X86Layout.ecam.lowerBound, length: X86Layout.ecam.upperBound - X86Layout.ecam.lowerBound)
    return root
  }

  private static func watchStores(to memories: [PersistentMemory], on bus: Bus, logger: (String) -> Logger) throws {
    for (index, memory) in memories.enumerated() where memory.image.configuration.isReadOnly {
      let name = PersistentMemory.name(index)
      try bus.insert(ReadOnlyMemory(name: name, logger: logger(name)), at: range(memory.addresses))
    }
  }

  private static func range(_ addresses: Range<UInt64>) throws -> BusRange {
    guard let range = BusRange(base: addresses.lowerBound, length: addresses.upperBound - addresses.lowerBound) else {
      throw MachineError.cannotStart("the machine's address map has an empty window")
    }
    return range
  }

  private static func describe(_ configuration: VMConfiguration, root: PCIRoot, board: Board) -> X86Board {
    let routing = root.routing
    var description = X86Board(
      processors: configuration.cpus.count, pciInterrupts: Boot.PCIInterruptRouting { routing.gsi(slot: $0, pin: $1) })
    description.hasRTC = configuration.hasRTC
    description.hasKeyboardController = configuration.hasI8042
    description.timerInput = board.timerInput
    description.hasPIC = board.hasPIC
    description.power.timerPort = UInt16(ACPIPowerManagement.base + ACPIPowerManagement.timerOffset)
    return description
  }

  /// Begins to read the standard input for the port that wants it.
  func startStreams() throws -> RunningStreams { try ports.start() }

  /// Holds the devices still: requests under way are finished, and none is begun. The processors must stand.
  ///
  /// - Returns: The name of a device that does not; all go on then.
  func suspend() -> String? {
    for (index, device) in pluggedDevices.enumerated() where !device.holdStill() {
      for device in pluggedDevices[...index] { device.goOn() }
      return device.name
    }
    return nil
  }

  /// Ends `suspend`.
  func resume() { for device in pluggedDevices { device.goOn() } }

  /// Lets no processor wait for a device any more: the machine ends.
  func endAccesses() { for device in pluggedDevices { device.endAccesses() } }

  /// Presses the power button; returns whether the guest listens.
  func pressPowerButton() -> Bool { power.pressPowerButton() }

  /// Stops every device; no memory of the guest is touched afterwards.
  func stop() {
    // All together get what one gets, and each at least a moment.
    let deadline = monotonicNanoseconds() + UInt64(Self.patience) * 1_000_000
    for device in pluggedDevices {
      let now = monotonicNanoseconds()
      device.stop(within: max(50, deadline > now ? Int32(clamping: (deadline - now) / 1_000_000) : 0))
    }
    ports.finish()
  }
}

extension Bus {
  /// Registers a device of the board; the board's own ranges never overlap or wrap.
  func insert(_ device: any BusDevice, base: UInt64, length: UInt64) throws {
    guard let range = BusRange(base: base, length: length) else { throw MachineError.cannotStart("a device's range at \(base) is empty") }
    try insert(device, at: range)
  }
}
