internal import CLinux
internal import Glibc
public import Logging
public import Platform
internal import Synchronization

/// What is said to a request.
public enum ControlAnswer: Sendable {
  /// The response.
  case now(ControlResponse)
  /// It is not known yet: this is called on the loop's thread every few milliseconds until there is one. Whoever gives it sets the end of
  /// the wait. The client's further requests wait, nobody else's do.
  case later(@Sendable () -> ControlResponse?)
}

/// Answers requests at a machine's control socket, on the thread of an event loop.
///
/// Clients are other processes of the same user, and may be broken or hostile: a packet has a limit, so have connections, nobody is waited for,
/// and whoever breaks the rules is told so and loses the connection.
public final class ControlServer: Sendable {
  /// What to do for a request; runs on the loop's thread.
  public typealias Handler = @Sendable (ControlRequest) -> ControlAnswer

  /// The most connections at a time; more are told so and closed.
  public static let connectionLimit = 32

  private final class Connection: Sendable {
    let descriptor: OwnedDescriptor
    init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
  }

  private struct State {
    var connections: [Int32: Connection] = [:]
    /// Those whose request has no answer yet.
    var waiting: [Int32: @Sendable () -> ControlResponse?] = [:]
    /// Given up for a moment when there are no descriptors left, so that who waits can be turned away.
    var reserve: Connection?
    var isStopped = false
  }

  private let socket: NamedSocket
  private let loop: EventLoop
  private let handler: Handler
  private let logger: Logger
  private let state: Mutex<State>
  /// Runs while there is one that waits.
  private let timer: TimerFD
  /// How often it is looked for an answer, in nanoseconds.
  private static let period: UInt64 = 5_000_000

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
    do { timer = try TimerFD() } catch { throw .system(error) }
    socket = try ControlSocket.make(path: path)
    self.loop = loop
    self.handler = handler
    self.logger = logger
    state = Mutex(State(reserve: Self.makeReserve(socket)))
    do {
      try loop.add(socket.number) { [weak self] _ in self?.accept() }
      try loop.add(timer.number) { [weak self] _ in self?.answerThoseThatWait() }
    } catch { throw .system(error) }
  }

  deinit { stop() }

  /// From now on it is another process that takes the socket's name away, once this one has ended.
  public func leaveName() { socket.leaveName() }

  /// Ends all connections and takes the socket away. To be called by the loop's thread, or after the loop has ended.
  public func stop() {
    let connections = state.withLock { state in
      state.isStopped = true
      defer { (state.connections, state.waiting) = ([:], [:]) }
      return Array(state.connections.values)
    }
    loop.remove(socket.number)
    loop.remove(timer.number)
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
    listen(to: number)
  }

  private func listen(to number: Int32) {
    do {
      try loop.add(number) { [weak self] _ in self?.serve(number) }
    } catch {
      logger.debug("control socket: \(error)")
      drop(number)
    }
  }

  private func drop(_ number: Int32) {
    loop.remove(number)
    state.withLock { state in
      state.connections[number] = nil
      state.waiting[number] = nil
    }
  }

  /// Leaves a client unheard until there is an answer for it.
  private func wait(_ number: Int32, for answer: @escaping @Sendable () -> ControlResponse?) {
    loop.remove(number)
    state.withLock { $0.waiting[number] = answer }
    timer.start(after: Self.period, every: Self.period)
  }

  private func answerThoseThatWait() {
    timer.drain()
    for (number, answer) in state.withLock({ $0.waiting }) {
      guard let response = answer() else { continue }
      state.withLock { $0.waiting[number] = nil }
      if send(response, to: number) { listen(to: number) } else { drop(number) }
    }
    if state.withLock({ $0.waiting.isEmpty }) { timer.stop() }
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
      switch handler(request) {
      case .now(let response): if !send(response, to: number) { drop(number) }
      case .later(let answer): wait(number, for: answer)
      }
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
