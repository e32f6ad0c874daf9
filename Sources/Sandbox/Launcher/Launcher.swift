internal import CLinux
internal import Glibc
public import GuestMemory
public import Interrupts
public import Logging
public import Platform
internal import Seccomp
internal import Synchronization
public import Virtio

/// Makes processes for devices, each locked in: the VMM's side of a process that was forked before anything else existed.
public final class Launcher: Sendable {
  private let process: pid_t
  private let connection: PacketSocket
  private let events = Mutex<[String: DeviceEvents]>([:])

  /// Forks the launcher's process. To be called first thing in a program: no thread may exist yet, and nothing that a device should not
  /// inherit.
  ///
  /// - Parameter builder: Builds the devices, in their processes.
  public init(builder: @escaping DeviceBuilder) throws(SystemError) {
    let (ours, theirs) = try PacketSocket.pair()
    process = clinux_fork()
    guard process >= 0 else { throw SystemError.last("fork the launcher") }
    connection = ours
    if process == 0 {
      // Nothing else that this program was started with, or has opened, goes to the children.
      _ = dup2(theirs.number, 3)
      _ = clinux_close_range(4, UInt32.max)
      LauncherProcess.run(PacketSocket(OwnedDescriptor(owning: 3)), builder: builder)
    }
  }

  /// How devices are locked in.
  public struct Policies: Sendable {
    /// Where policies are read from instead of those in the program.
    public var directory: String?
    /// Whether forbidden system calls are only logged.
    public var logsFailures: Bool

    /// Makes a choice.
    public init(directory: String?, logsFailures: Bool) {
      self.directory = directory
      self.logsFailures = logsFailures
    }

    /// What the kernel needs to hold a process to a policy.
    func program(_ name: String) throws -> SeccompProgram {
      try SeccompPolicy.load(name, directory: directory).compile(onViolation: logsFailures ? .log : .trap)
    }
  }

  /// Begins to make a process for a device; `LaunchedDevice.proxy` waits for it.
  ///
  /// - Parameters:
  ///   - name: The device's name, unique in the machine.
  ///   - line: Its interrupt line; `nil` for a device that has none.
  /// - Throws: `PolicyError`, or `SystemError` when the launcher is gone.
  public func launch(
    _ blueprint: any DeviceBlueprint, name: String, offersPackedRing: Bool, memory: GuestMemory, line: LevelInterrupt?,
    policies: Policies, logger: Logger
  ) throws -> LaunchedDevice {
    let kind = type(of: blueprint).kind
    var writer = ByteWriter()
    blueprint.encode(to: &writer)
    let specification = DeviceSpecification(
      name: name, kind: kind, offersPackedRing: offersPackedRing, hasLine: line != nil, level: logger.logLevel,
      regions: memory.regions.map { ($0.base, $0.size) }, rings: blueprint.rings, connectors: blueprint.connectors,
      extraDescriptors: blueprint.extraDescriptors, extraMemory: blueprint.extraMemory, program: try policies.program(kind).bytes,
      connectorProgram: blueprint.connectors.isEmpty ? [] : try policies.program("connector").bytes, blueprint: writer.bytes)
    let (requests, theirRequests) = try PacketSocket.pair()
    let (news, theirNews) = try PacketSocket.pair()
    let lineEvents = try line ?? LevelInterrupt()
    for piece in LauncherOrder.launch(specification).inPieces(
      [
        theirRequests.number, theirNews.number, memory.file.number, lineEvents.trigger.number, lineEvents.resample.number,
      ] + blueprint.descriptors)
    {
      try connection.send(piece.order.encoded, descriptors: piece.descriptors)
    }
    let listener = DeviceEvents(name: name, kind: kind, connection: news, line: line, logger: logger)
    events.withLock { $0[name] = listener }
    return LaunchedDevice(
      name: name, channel: DeviceChannel(name: name, connection: requests, logger: logger), launcher: self)
  }

  /// Ends the time in which orders have an effect. To be called before the guest runs.
  func seal() throws(SystemError) { try connection.send(LauncherOrder.seal.encoded) }

  /// Lets the launcher give back what only the start needed: the machine will run for a while.
  public func settle() { try? connection.send(LauncherOrder.settle.encoded) }

  /// Removes a socket's name once this process is gone, however it ended, unless the name means something else by then.
  public func removeAtEnd(_ path: String) throws {
    var status = stat()
    guard unsafe lstat(path, &status) == 0 else { throw SystemError.last("look at \(path)") }
    try connection.send(LauncherOrder.removeAtEnd(path: path, device: UInt64(status.st_dev), file: UInt64(status.st_ino)).encoded)
  }

  /// Watches the devices' processes while the machine runs.
  ///
  /// - Parameters:
  ///   - loop: Where their events are handled.
  ///   - onEnd: Told of each that has ended, with its name and the reason in words, and of the launcher's own end.
  public func watch(_ loop: EventLoop, onEnd: @escaping @Sendable (String) -> Void) throws {
    for (_, listener) in events.withLock({ $0 }) { try listener.watch(loop) }
    try loop.add(connection.number) { [weak self] _ in
      guard let self else { return }
      switch try? connection.receive(milliseconds: 0) {
      case .packet(let packet)?:
        guard let report = try? LauncherReport(packet.bytes) else { return }
        onEnd(sentence(for: report))
      case .nothing?: break
      case .closed?, nil:
        loop.remove(connection.number)
        onEnd("the process that makes device processes has ended")
      }
    }
  }

  /// Stops watching, before the loop goes.
  public func stopWatching(_ loop: EventLoop) {
    loop.remove(connection.number)
    for (_, listener) in events.withLock({ $0 }) { listener.stopWatching(loop) }
  }

  private func sentence(for report: LauncherReport) -> String {
    switch report {
    case .refused(let name, let reason): "device \(name): \(reason)"
    case .ended(let name, let reason):
      "device \(name): \(events.withLock { $0[name] }?.lastWords() ?? reason)"
    }
  }

  /// Why a device's process is not there, asked when its connection has closed.
  func reason(name: String) -> String {
    let deadline = monotonicNanoseconds() + 1_000_000_000
    while monotonicNanoseconds() < deadline, case .packet(let packet)? = try? connection.receive(milliseconds: 1000) {
      switch try? LauncherReport(packet.bytes) {
      case .refused(name, let reason)?: return reason
      case .ended(name, let reason)?: return events.withLock { $0[name] }?.lastWords() ?? reason
      default: continue
      }
    }
    return "its process has ended"
  }

  /// The socket over which this process's own violations are reported.
  var number: Int32 { connection.number }

  /// Begins to end all device processes and the launcher.
  public func dismiss() { _ = shutdown(connection.number, Int32(SHUT_WR)) }

  /// Ends all device processes and the launcher, and waits for that; a device that does not end is left to the kernel.
  public func finish() {
    dismiss()
    let deadline = monotonicNanoseconds() + 3_000_000_000
    while monotonicNanoseconds() < deadline {
      switch try? connection.receive(milliseconds: 3000) {
      case .packet?: continue
      case .nothing?: return
      case .closed?, nil:
        // The launcher's end of the connection closes as it exits: this does not take long.
        var status: Int32 = 0
        while unsafe waitpid(process, &status, 0) < 0, errno == EINTR {}
        return
      }
    }
  }
}

/// A device whose process is being made.
public struct LaunchedDevice: Sendable {
  /// How long a process may take to be ready: milliseconds, on a host that is not overloaded.
  private static let patience: Int32 = 20_000

  let name: String
  let channel: DeviceChannel
  let launcher: Launcher

  /// Waits until the device is there.
  ///
  /// - Throws: `LaunchFailure` with the reason.
  public func proxy(_ machine: MachineServices) throws -> DeviceProxy {
    let message: DeviceMessage?
    do { message = try channel.waitUntilReady(milliseconds: Self.patience) } catch { throw LaunchFailure(name: name, reason: "\(error)") }
    switch message {
    case .ready(let bars)?: return DeviceProxy(name: name, bars: bars, channel: channel, machine: machine)
    case .failed(let reason)?: throw LaunchFailure(name: name, reason: reason)
    default: throw LaunchFailure(name: name, reason: launcher.reason(name: name))
    }
  }
}

/// Why a device has no process.
public struct LaunchFailure: Error, Equatable, Sendable, CustomStringConvertible {
  /// The device's name.
  public let name: String
  /// In words, with what to do.
  public let reason: String

  /// One line.
  public var description: String { "device \(name): \(reason)" }
}
