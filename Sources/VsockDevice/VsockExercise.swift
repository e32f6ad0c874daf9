internal import Glibc
public import Logging
public import Platform
public import Virtio

/// A socket device without a thread and without names in the file system, one step at a time: for tests and fuzzers.
public final class VsockExercise {
  /// Where a connection of the guest ended up: the host's end of it, non-blocking.
  public struct End {
    /// The port of the host that the guest asked for.
    public let port: UInt32
    /// A host program's socket.
    public let socket: DescriptorBox
  }

  /// Gives every connection of the guest a pair of sockets.
  private final class Connector: VsockConnector {
    var number: Int32? { nil }
    var ends: [End] = []

    func connect(port: UInt32, isSequenced: Bool) -> VsockConnectorAnswer {
      var pair: [Int32] = [-1, -1]
      let kind = Int32((isSequenced ? SOCK_SEQPACKET : SOCK_STREAM).rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
      guard unsafe socketpair(AF_UNIX, kind, 0, &pair) == 0 else { return .failed(errno) }
      ends.append(End(port: port, socket: DescriptorBox(OwnedDescriptor(owning: pair[1]))))
      return .connected(HostSocket(OwnedDescriptor(owning: pair[0])))
    }

    func next() -> VsockConnectorAnswer? { nil }
  }

  /// Says that every socket may have changed, whenever it is asked.
  private final class Watcher: VsockWatcher {
    func watch(_ descriptor: Int32) throws(SystemError) {}
    func unwatch(_ descriptor: Int32) {}
    func watchRoom(of descriptor: Int32, _ isWanted: Bool) {}
    func wake(at time: UInt64) {}
  }

  private let connector = Connector()
  private let watcher = Watcher()
  private let table: VsockSwitch

  /// Makes a device at rest.
  public init(context: UInt32, logger: Logger) {
    table = VsockSwitch(context: context, listeners: [], connector: connector, logger: logger)
  }

  /// The features that the device offers.
  public static let features = VsockFeatures.stream | VsockFeatures.sequenced | VsockFeatures.noImpliedStream

  /// A driver is there.
  public func begin(_ activation: VirtioActivation) throws(SystemError) { try table.begin(activation, watcher: watcher) }

  /// The driver has gone.
  public func end() { table.finishDriver() }

  /// Does what there is to do, until there is no more, or a limited number of times.
  ///
  /// - Returns: What is wrong in the device itself; nil when nothing is.
  public func turn() -> String? {
    for _ in 0..<8 {
      for descriptor in table.endpoints.keys { table.noted(descriptor, [.readable, .writable]) }
      guard !table.turn() else { continue }
      if table.rings.transmitIsSilent { return "the driver's next packet would not be heard of" }
      if table.hasPacket, table.rings.receiveIsSilent { return "the driver's next buffer would not be heard of" }
      break
    }
    return problem
  }

  /// The host's ends of connections since this was last asked.
  public func takeEnds() -> [End] {
    defer { connector.ends = [] }
    return connector.ends
  }

  /// How many connections there are.
  public var connectionCount: Int { table.connections.count }

  private var problem: String? {
    if table.resets.count > table.limits.resets || table.resets.count != table.resetsInQueue.count { return "resets pile up" }
    if table.count > table.limits.connections { return "there are more connections than places" }
    if !(0...table.limits.largeAllowances).contains(table.largeInUse) { return "allowances are miscounted" }
    let crowd = 2 * table.count + 200
    if max(table.ready.count, table.retries.count, table.waiting.count, table.deadlines.count) > crowd {
      return "connections that are gone pile up"
    }
    for connection in table.connections.values {
      if connection.incoming.count > Int(connection.allowance) { return "a connection keeps more than its allowance" }
      if connection.received &- connection.forwarded != UInt32(connection.incoming.count) { return "bytes are lost between the counters" }
    }
    return nil
  }
}
