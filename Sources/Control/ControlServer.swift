internal import CLinux
internal import Glibc
public import Logging
public import Platform
internal import Synchronization

/// Answers requests at a machine's control socket, on the thread of an event loop.
///
/// Clients are other processes of the same user, and may be broken or hostile: a packet has a limit, so have connections, nobody is waited for,
/// and whoever breaks the rules is told so and loses the connection.
public final class ControlServer: Sendable {
  /// What to do for a request; runs on the loop's thread.
  public typealias Handler = @Sendable (ControlRequest) -> ControlResponse

  /// The most connections at a time; more are told so and closed.
  public static let connectionLimit = 32

  private final class Connection: Sendable {
    let descriptor: OwnedDescriptor
    init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
  }

  private struct State {
    var connections: [Int32: Connection] = [:]
    /// Given up for a moment when there are no descriptors left, so that who waits can be turned away.
    var reserve: Connection?
    var isStopped = false
  }

  private let socket: NamedSocket
  private let loop: EventLoop
  private let handler: Handler
  private let logger: Logger
  private let state: Mutex<State>

  /// Where the socket is: in a directory it has a name of its own.
  public var path: String { socket.path }

  /// Makes the socket and begins to answer.
  ///
  /// - Parameters:
  ///   - path: Where the socket is made; in a directory it is called `crosvm-PID.sock`.
  ///   - loop: Whose thread answers.
  ///   - logger: Where clients' mistakes are noted, for debugging.
  ///   - handler: What to do for a request.
  public init(path: String, loop: EventLoop, logger: Logger, handler: @escaping Handler) throws(ControlError) {
    socket = try ControlSocket.make(path: path)
    self.loop = loop
    self.handler = handler
    self.logger = logger
    state = Mutex(State(reserve: Self.makeReserve(socket)))
    do {
      try loop.add(socket.number) { [weak self] _ in self?.accept() }
    } catch { throw .system(error) }
  }

  deinit { stop() }

  /// From now on it is another process that takes the socket's name away, once this one has ended.
  public func leaveName() { socket.leaveName() }

  /// Ends all connections and takes the socket away. To be called by the loop's thread, or after the loop has ended.
  public func stop() {
    let connections = state.withLock { state in
      state.isStopped = true
      defer { state.connections = [:] }
      return Array(state.connections.values)
    }
    loop.remove(socket.number)
    for connection in connections { loop.remove(connection.descriptor.number) }
    socket.remove()
  }

  /// Any descriptor will do; a confined process opens nothing.
  private static func makeReserve(_ socket: NamedSocket) -> Connection? {
    do { return Connection(try OwnedDescriptor.duplicate(socket.number)) } catch { return nil }
  }

  private func accept() {
    do {
      add(Connection(try UnixSocket.accept(from: socket.number)))
    } catch {
      guard error.code == EMFILE || error.code == ENFILE else { return }
      // Without this the loop would be woken for ever by somebody whom it cannot let in.
      state.withLock { state in
        state.reserve = nil
        _ = try? UnixSocket.accept(from: socket.number)
        state.reserve = Self.makeReserve(socket)
      }
    }
  }

  private func add(_ connection: Connection) {
    let number = connection.descriptor.number
    let isWelcome = state.withLock { state in
      guard !state.isStopped, state.connections.count < Self.connectionLimit else { return false }
      state.connections[number] = connection
      return true
    }
    guard isWelcome else {
      _ = send(.failed("too many clients at a time; try again"), to: number)
      return
    }
    do {
      try loop.add(number) { [weak self] _ in self?.serve(number) }
    } catch {
      logger.debug("control socket: \(error)")
      drop(number)
    }
  }

  private func drop(_ number: Int32) {
    loop.remove(number)
    state.withLock { $0.connections[number] = nil }
  }

  /// Takes a packet of a connection and answers it.
  private func serve(_ number: Int32) {
    var packet = [UInt8](repeating: 0, count: ControlMessage.sizeLimit + 1)
    let length = unsafe packet.withUnsafeMutableBytes { unsafe recv(number, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT)) }
    if length < 0, errno == EAGAIN || errno == EINTR { return }
    // Nothing: the client has gone, or sent an empty packet, which means as little.
    guard length > 0 else { return drop(number) }
    do throws(ControlError) {
      let request = try ControlRequest(words: try ControlMessage.words(of: packet.prefix(length)))
      logger.debug("control socket: \(request.words)")
      if !send(handler(request), to: number) { drop(number) }
    } catch {
      logger.debug("control socket: \(error)")
      let isHeard = send(.failed("\(error)"), to: number)
      // A wrong request may be followed by a right one; whoever does not speak the protocol is not heard again.
      if case .badRequest = error, isHeard { return }
      drop(number)
    }
  }

  /// Sends a response, if the client has room for it; it is not waited for.
  private func send(_ response: ControlResponse, to number: Int32) -> Bool {
    let packet = ControlMessage.packet(response.words)
    let flags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)
    return unsafe packet.withUnsafeBytes { unsafe Glibc.send(number, $0.baseAddress, $0.count, flags) } == packet.count
  }
}
