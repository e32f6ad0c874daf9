internal import GuestMemory
internal import Logging
internal import Platform
internal import Virtio

/// Connects the guest's sockets with Unix sockets of the host: the connections of a device, and what happens to them.
///
/// Used by one thread at a time: the worker's, or, while there is none, whoever activates and resets the device. It outlives drivers:
/// clients that wait for the guest, and bytes that a former driver sent, stay.
final class VsockSwitch: @unchecked Sendable {
  // Unchecked because nothing here has a lock: the rule above takes its place.

  /// What the device keeps at most.
  struct Limits {
    /// Connections, clients that have not said where to, and sockets that get their last bytes, together.
    var connections = 8192
    /// How many connections keep much of what a slow host program does not take; the others keep little.
    var largeAllowances = 256
    /// Bytes.
    var largeAllowance: UInt32 = 256 << 10
    var smallAllowance: UInt32 = 16 << 10
    /// Messages may not be longer than a socket of the host takes by default.
    var sequencedAllowance: UInt32 = 128 << 10
    /// Answers to packets that belong to no connection, each for another pair of ports.
    var resets = 8192
    /// The longest message of a host program, in bytes.
    var hostMessage = 1 << 20
    /// How long a connection that waits for the guest's last word, or first, is kept: nanoseconds.
    var patience: UInt64 = 8_000_000_000
    /// How long a client has to say where to; some type it.
    var greetingTime: UInt64 = 60_000_000_000
    /// How soon a host program that had no room for another connection is tried again, and for how long.
    var retryInterval: UInt64 = 5_000_000
    var retryTime: UInt64 = 2_000_000_000
    var retriesAtOnce = 64
  }

  /// A socket at which host programs connect.
  struct Listener {
    let box: DescriptorBox
    let isSequenced: Bool
    var isReady = true
  }

  /// A host program that has connected and not yet said to which port.
  final class Client {
    let socket: HostSocket
    let isSequenced: Bool
    /// Whether it still has to say so; not when it has gone.
    var isSilent = true
    /// Whether it is in the switch's list of those that have said something.
    var isNoted = false
    init(socket: HostSocket, isSequenced: Bool) {
      self.socket = socket
      self.isSequenced = isSequenced
    }
  }

  /// A client that may have gone: its socket closes with it, so it is not kept.
  struct WeakClient {
    weak var client: Client?
  }

  /// Whom a descriptor belongs to.
  enum Endpoint {
    case client(Client)
    case connection(VsockConnection)
  }

  /// A reset to be sent for a packet that belongs to no connection.
  struct Reset: Hashable {
    let key: VsockConnection.Key
    let kind: UInt16
  }

  let context: UInt64
  let limits: Limits
  let connector: any VsockConnector
  private let logger: Logger
  private var quota = LineQuota(lines: 10, seconds: 60)

  /// Watches descriptors for the present driver; nil while there is none.
  weak var watcher: (any VsockWatcher)?
  /// The queues of the present driver.
  var rings = VsockRings()
  /// Whether the driver may make sequenced sockets.
  var allowsSequenced = false
  /// Whether the driver is to be told that all its connections are gone.
  var owesTransportReset = false

  var listeners: [Listener]
  var connections: [VsockConnection.Key: VsockConnection] = [:]
  var endpoints: [Int32: Endpoint] = [:]
  /// Clients that have said something.
  var readyClients = Fifo<Client>()
  /// Connections whose host socket has changed.
  var touched = Fifo<VsockConnection>()
  /// Connections with something for the guest; each has its turn.
  var ready = Fifo<VsockConnection>()
  var resets = Fifo<Reset>()
  var resetsInQueue: Set<Reset> = []
  /// The message of a host program that is on its way to the guest, and how much of it has gone.
  var message: (connection: VsockConnection, bytes: [UInt8], done: Int)?
  /// Connections that the connector works on, in its order; those that it had no time for; and those whose host program had no room.
  var awaited = Fifo<VsockConnection>()
  var waiting = Fifo<VsockConnection>()
  var retries = Fifo<(connection: VsockConnection, until: UInt64)>()
  var nextRetry: UInt64 = 0
  /// Connections that wait for a word of the guest's, in the order of the time at which that ends.
  var deadlines = Deadlines<(connection: VsockConnection, word: VsockConnection.Word)> { $0.connection.awaits($0.word) }
  /// Clients that have not said where to, in the order of the time at which they have had enough.
  var silent = Deadlines<WeakClient> { $0.client?.isSilent == true }
  /// Room for the pieces of one packet, kept from one to the next.
  var pieces: [GuestSlice] = []
  /// How much room for payload each of the receive buffers has that were taken, and how many bytes were written to each.
  var rooms: [Int] = []
  var lengths: [UInt32] = []
  var vectors = GuestVectors()
  var nextHostPort: UInt32 = VsockSwitch.firstHostPort
  /// By which all waits are measured.
  var clock = SteadyClock()
  var largeInUse = 0
  /// Whether there was no place, or no descriptor, for a host program that waits.
  var isStarved = false
  /// Whether it may have one now.
  var mayAccept = false
  var connectorIsReady = false
  private(set) var drainingCount = 0

  /// Where the ports begin that host programs get.
  static let firstHostPort: UInt32 = 1 << 30

  init(context: UInt32, listeners: [Listener], connector: any VsockConnector, limits: Limits = Limits(), logger: Logger) {
    self.context = UInt64(context)
    self.listeners = listeners
    self.connector = connector
    self.limits = limits
    self.logger = logger
  }

  /// How many sockets of the host are in use, or about to be.
  var count: Int { connections.count + clientCount + drainingCount }
  var clientCount = 0
  var isFull: Bool { count >= limits.connections }

  /// Writes a line that the guest, or a host program, may cause any number of times.
  func note(_ text: @autoclosure () -> String) {
    guard let suppressed = quota.admit(now: monotonicNanoseconds()) else { return }
    logger.warning("vsock: \(text())\(suppressed > 0 ? " (and \(suppressed) more lines like this)" : "")")
  }

  // MARK: The life of a connection

  /// Adds a connection; there is none with these ports.
  func add(_ key: VsockConnection.Key, kind: UInt16, state: VsockConnection.State) -> VsockConnection {
    let isLarge = largeInUse < limits.largeAllowances
    let large = kind == VsockPacket.Kind.sequenced ? limits.sequencedAllowance : limits.largeAllowance
    if isLarge { largeInUse += 1 }
    let connection = VsockConnection(key: key, kind: kind, allowance: isLarge ? large : limits.smallAllowance, state: state)
    connections[key] = connection
    return connection
  }

  /// Gives a connection its host socket.
  ///
  /// - Returns: Whether the socket can be watched.
  func attach(_ socket: HostSocket, to connection: VsockConnection) -> Bool {
    connection.socket = socket
    endpoints[socket.number] = .connection(connection)
    return watch(socket.number)
  }

  /// Has a turn come when the clock says a time.
  func wake(at time: UInt64) { watcher?.wake(at: clock.hostTime(of: time)) }

  func watch(_ descriptor: Int32) -> Bool {
    do {
      try watcher?.watch(descriptor)
      return true
    } catch {
      note("a connection is lost: \(error)")
      return false
    }
  }

  /// The host's socket has no room: it is watched until it has.
  func lacksRoom(_ connection: VsockConnection) {
    connection.isWritable = false
    guard !connection.isRoomWatched, let socket = connection.socket else { return }
    connection.isRoomWatched = true
    watcher?.watchRoom(of: socket.number, true)
  }

  /// Nothing waits for room.
  func needsNoRoom(_ connection: VsockConnection) {
    guard connection.isRoomWatched, let socket = connection.socket else { return }
    connection.isRoomWatched = false
    watcher?.watchRoom(of: socket.number, false)
  }

  /// Closes the host's socket.
  func closeSocket(of connection: VsockConnection) {
    guard let socket = connection.socket.take() else { return }
    watcher?.unwatch(socket.number)
    endpoints[socket.number] = nil
    if connection.isSequenced { socket.discardMessages() }
  }

  /// Ends a connection.
  ///
  /// - Parameter tellsGuest: Whether the guest gets a reset.
  func end(_ connection: VsockConnection, tellsGuest: Bool) {
    guard connection.state != .closed else { return }
    if connection.state == .draining { drainingCount -= 1 } else { connections[connection.key] = nil }
    connection.state = .closed
    closeSocket(of: connection)
    if connection.allowance != limits.smallAllowance { largeInUse -= 1 }
    connection.incoming.removeAll()
    connection.messages.removeAll()
    if message?.connection === connection { message = nil }
    if tellsGuest { owe(Reset(key: connection.key, kind: connection.kind)) }
    if isStarved { mayAccept = true }
  }

  /// The guest has done with a connection. What it sent before goes on to the host program, however slow that is.
  func release(_ connection: VsockConnection, tellsGuest: Bool) {
    guard connection.state == .established, connection.socket != nil, connection.hasWhole else {
      return end(connection, tellsGuest: tellsGuest)
    }
    connections[connection.key] = nil
    connection.state = .draining
    drainingCount += 1
    // A program that writes before it reads on would wait for a reader that there is not any more, and we for it.
    connection.socket?.shutDown(.receiving)
    if message?.connection === connection { message = nil }
    if tellsGuest { owe(Reset(key: connection.key, kind: connection.kind)) }
  }

  /// Sends a reset when there is room for it. Each pair of ports has one at most; should a guest that takes none have caused too many, the
  /// rest is forgotten.
  func owe(_ reset: Reset) {
    guard resets.count < limits.resets, resetsInQueue.insert(reset).inserted else { return }
    resets.append(reset)
  }

  /// Puts a connection into the list of those with something for the guest, if it has.
  func offer(_ connection: VsockConnection) {
    guard !connection.isOver else { return }
    if connection.wantsToSend, connection.state == .established, connection.credit < connection.neededCredit, !connection.hasAskedForCredit
    {
      connection.hasAskedForCredit = true
      connection.owed.insert(.creditRequest)
    }
    guard !connection.isReady, connection.hasPacket else { return }
    connection.isReady = true
    ready.append(connection) { $0.isOver }
  }
}

/// Watches descriptors for a switch, and tells it of changes by `noted`.
protocol VsockWatcher: AnyObject, Sendable {
  func watch(_ descriptor: Int32) throws(SystemError)
  func unwatch(_ descriptor: Int32)
  /// Begins, or ceases, to watch a watched descriptor for room to write, too. One that has room is noted at once.
  func watchRoom(of descriptor: Int32, _ isWanted: Bool)
  /// Has the switch's turn come at a time, in monotonic nanoseconds.
  func wake(at time: UInt64)
}
