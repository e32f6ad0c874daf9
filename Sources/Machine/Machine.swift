internal import BasicDevices
internal import Boot
internal import Bus
internal import CLinux
internal import Control
internal import Glibc
internal import GuestMemory
internal import KVM
public import Logging
internal import PCI
internal import Platform
internal import PlatformDevices
public import Sandbox
internal import Synchronization
internal import VsockDevice

/// A virtual machine: made from a configuration, run once.
///
/// Making it opens everything the configuration names and prepares the guest's memory; nothing of the guest runs before `run`.
public final class Machine: Sendable {
  private let control: RunControl
  private let machine: VirtualMachine
  /// Those that do not run yet.
  private let processors: Mutex<[VirtualCPU]>
  private let configuration: VMConfiguration
  private let surroundings: ProcessorThread.Surroundings
  private let loop: EventLoop
  private let signals: SignalFD
  private let devices: DeviceSet
  /// Keeps what the kernel maps into the guest.
  private let memory: GuestMemory
  private let guest: LoadedGuest
  private let persistentMemory: [PersistentMemory]
  /// Keeps the names of the sockets that lead to the guest's, where nobody else does.
  private let sockets: VsockSockets?
  private let logger: Logger
  private let requests: RequestHandler
  private let server: ControlServer?
  private let launcher: Launcher?
  private let confinement: Confinement?

  /// Makes a machine.
  ///
  /// - Parameters:
  ///   - configuration: What to make; it is validated first.
  ///   - launcher: Makes the devices' processes, unless the configuration wants none; see `makeLauncher`.
  ///   - version: What a client of the control socket hears when it asks for the program's version.
  ///   - logger: Where the machine reports.
  ///   - deviceLogger: Where the device of a name reports, `block0` for instance; to `logger` where this is not given.
  /// - Throws: `ConfigurationError`, `KVMError`, `BootError` and the devices' errors, each with a message for the user.
  public init(
    _ configuration: VMConfiguration, launcher: Launcher?, version: String = "", logger: Logger,
    deviceLogger: ((String) -> Logger)? = nil
  ) throws {
    try configuration.validate()
    self.launcher = launcher
    let processes = try Machine.deviceProcesses(configuration, launcher)
    confinement = try processes.map { try Confinement(policies: $0.policies, launcher: $0.launcher) }
    self.configuration = configuration
    self.logger = logger
    // Before any thread exists, so that none of them dies of a signal that is ours to handle.
    // One that was ignored from the start stays so: nohup(1) wants that.
    signals = try SignalFD([SIGINT, SIGTERM] + (SignalFD.isIgnored(SIGHUP) ? [] : [SIGHUP]))
    control = try RunControl()
    loop = try EventLoop()

    // The interrupt controllers come first: the kernel then takes its time, during which all else is prepared (see ARCHITECTURE.md).
    let system = try KVMSystem()
    try Machine.checkHost(for: configuration)
    let board = try Board(system: system, configuration: configuration, control: control, loop: loop, logger: logger)
    let leaves = try system.supportedCPUID()
    let images = try PersistentMemory.open(configuration.persistentMemory)
    let map = try PersistentMemory.addressMap(
      ramSize: configuration.memory.size, images, physicalAddressBits: HostProcessor.physicalAddressBits(leaves))
    memory = try Machine.makeMemory(map, size: configuration.memory.size)
    let deviceLogger = deviceLogger ?? { _ in logger }
    persistentMemory = try PersistentMemory.map(images, map, logger: deviceLogger)
    sockets = try Machine.makeSockets(configuration, launcher)
    devices = try DeviceSet(
      configuration: configuration, board: board, map: map, memory: memory, persistentMemory: persistentMemory, sockets: sockets,
      processes: processes, logger: logger, deviceLogger: deviceLogger)
    guest = try GuestLoader(configuration: configuration, board: devices.description, map: map, memory: memory).load()

    try MemorySlots(machine: board.machine).map(memory, persistentMemory.map(\.slot) + (guest.firmwareSlot.map { [$0] } ?? []))
    let state = ProcessorState(
      identification: ProcessorIdentification(
        processors: configuration.cpus.count, supported: leaves,
        hasDeadlineTimer: system.capability(KVM_CAP_TSC_DEADLINE_TIMER) > 0),
      modelRegisters: ModelRegisters.initial(
        uncached: Machine.deviceMemory, physicalBits: HostProcessor.physicalAddressBits(leaves)))
    machine = board.machine
    processors = Mutex(
      try Machine.makeProcessors(configuration.cpus.count, of: board, limit: system.processorLimit, state, guest.entry))
    surroundings = ProcessorThread.Surroundings(
      ports: board.ports, memory: board.memoryBus, control: control, confinement: confinement, endOfInterrupt: board.endOfInterrupt,
      images: persistentMemory.map(\.image.configuration.path), logger: logger)
    let requests = RequestHandler(control: control, devices: devices, version: version, logger: logger)
    self.requests = requests
    // Last, so that whoever finds the socket finds a machine.
    if let path = configuration.controlSocket {
      let server = try ControlServer(path: path, loop: loop, logger: logger) { requests.answer($0) }
      if let launcher {
        // Also when this process is killed.
        try launcher.removeAtEnd(server.path)
        server.leaveName()
      }
      self.server = server
    } else {
      server = nil
    }
  }

  /// Forks the process that makes device processes. To be called first thing in a program: no thread may exist yet, and nothing that a
  /// device should not inherit.
  public static func makeLauncher() throws -> Launcher { try Launcher(builder: DeviceList.build) }

  private static func deviceProcesses(_ configuration: VMConfiguration, _ launcher: Launcher?) throws -> DeviceProcesses? {
    guard configuration.isSandboxed else { return nil }
    guard let launcher else { throw MachineError.cannotStart("devices in processes of their own need a launcher") }
    let policies = Launcher.Policies(
      directory: configuration.seccompPolicyDirectory, logsFailures: configuration.logsSeccompFailures)
    return DeviceProcesses(launcher: launcher, policies: policies)
  }

  /// KVM can be there without hardware virtualization (para-virtual KVM, in some cloud machines): it runs small programs, and a stock kernel
  /// gets far into its boot and then hangs. So firmware images, which may be small, are started there, and kernels only by request.
  private static func checkHost(for configuration: VMConfiguration) throws {
    guard case .kernel = configuration.boot, !configuration.allowsParavirtualHost else { return }
    guard HostProcessor.hasVirtualization() else { throw MachineError.paravirtualHost }
  }

  /// The sockets at which host programs connect to those of the guest, where a device serves them and not the kernel.
  private static func makeSockets(_ configuration: VMConfiguration, _ launcher: Launcher?) throws -> VsockSockets? {
    guard case .socket(let path)? = configuration.vsock?.backend else { return nil }
    let sockets = try VsockSockets(path: path)
    if let launcher {
      // Also when this process is killed.
      for path in sockets.paths { try launcher.removeAtEnd(path) }
      sockets.leaveNames()
    }
    return sockets
  }

  private static func makeMemory(_ map: X86AddressMap, size: UInt64) throws -> GuestMemory {
    do { return try GuestMemory(regions: map.ramRegions) } catch {
      guard case .system(let cause) = error else { throw error }
      throw MachineError.noMemory(bytes: size, reason: cause.reason)
    }
  }

  /// What lies between low RAM and 4 GiB: 0xd0000000 to 0xdfffffff, and 0xe0000000 to 0xffffffff.
  private static let deviceMemory = [
    ModelRegisters.Uncached(base: 0xd000_0000, size: 0x1000_0000), ModelRegisters.Uncached(base: 0xe000_0000, size: 0x2000_0000),
  ]

  private static func makeProcessors(
    _ count: Int, of board: Board, limit: Int, _ state: ProcessorState, _ entry: BootEntry
  ) throws -> [VirtualCPU] {
    guard count <= limit else { throw MachineError.tooManyProcessors(requested: count, limit: limit) }
    let processors = try (0..<count).map { try board.machine.makeProcessor(identifier: $0) }
    for processor in processors { try state.apply(to: processor, entry: entry) }
    return processors
  }

  /// Runs the guest to its end, on threads of its own; the calling thread handles input and signals meanwhile.
  ///
  /// SIGINT, SIGTERM and, unless it was ignored before, SIGHUP end the run in good order. Whatever the outcome, devices are stopped and the terminal is as it was.
  ///
  /// - Throws: When a thread cannot be started or the terminal cannot be used.
  public func run() throws -> RunOutcome {
    ProcessorThread.installKick()
    try loop.add(signals.number) { [control, signals] _ in
      while signals.next() != nil { control.end(.stopped) }
    }
    try loop.add(control.ended.number) { [loop] _ in loop.stop() }
    try launcher?.watch(loop) { [control] reason in control.end(.crashed(reason)) }
    let watch = PersistentMemoryWatch(persistentMemory, loop: loop, logger: logger) { [control] in control.end(.crashed($0)) }
    defer { watch?.stop() }
    // Before the first thread, which inherits it.
    try confinement?.enter()
    let streams = try devices.startStreams()
    var threads: [ProcessorThread] = []
    defer {
      // Also where a thread could not be started: those before it must end.
      control.end(.stopped)
      requests.setThreads([])
      devices.endAccesses()
      for thread in threads { thread.interrupt() }
      for thread in threads { thread.join() }
      launcher?.stopWatching(loop)
      devices.stop()
      server?.stop()
      streams.stop()
      launcher?.dismiss()
      // While the launcher sees its processes off. Here and not by the end of this process: see `VirtualMachine.end`.
      threads = []
      machine.end()
      launcher?.finish()
    }
    for processor in takeProcessors() {
      let affinity = configuration.cpus.affinity?[processor.identifier].map { $0.sorted() } ?? []
      threads.append(try ProcessorThread(processor: processor, affinity: affinity, surroundings: surroundings))
    }
    requests.setThreads(threads)
    // Not for firmware images: small ones end before this would have paid.
    if case .kernel = configuration.boot {
      launcher?.settle()
      ProgramText.release()
    }
    try loop.run()
    return control.outcome ?? .stopped
  }

  /// The processors, which from here on only the caller knows.
  private func takeProcessors() -> [VirtualCPU] {
    processors.withLock { waiting in
      defer { waiting = [] }
      return waiting
    }
  }

  /// Ends the run from another thread, as if the machine had been switched off.
  public func stop() { control.end(.stopped) }
}
