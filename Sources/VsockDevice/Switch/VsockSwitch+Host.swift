internal import Glibc
internal import Platform

/// What comes from the host: clients, sockets that change, and what becomes of attempts to connect.
extension VsockSwitch {
  /// Notes that a descriptor has changed; what follows from that has its turn later.
  func noted(_ descriptor: Int32, _ interest: EventLoop.Interest) {
    switch endpoints[descriptor] {
    case .client(let client)?: readyClients.append(client)
    case .connection(let connection)?:
      let isHungUp = !interest.isDisjoint(with: .hungUp)
      if isHungUp || interest.contains(.readable) { connection.isReadable = true }
      if isHungUp || interest.contains(.writable) { connection.isWritable = true }
      if isHungUp { connection.isHungUp = true }
      guard !connection.isTouched else { return }
      connection.isTouched = true
      touched.append(connection)
    case nil:
      if descriptor == connector.number { connectorIsReady = true }
      for index in listeners.indices where listeners[index].box.number == descriptor { listeners[index].isReady = true }
    }
  }

  /// Does what follows from changes of the host's descriptors.
  func serveHost() {
    while let connection = touched.popFirst() {
      connection.isTouched = false
      settle(connection)
    }
    takeConnectorAnswers()
    retryConnections()
    endOverdueConnections()
    dropSilentClients()
    acceptClients()
    while let client = readyClients.popFirst() { hear(client) }
  }

  /// Goes on with a connection after something has changed: sends on what is kept, and offers the guest what there is for it.
  func settle(_ connection: VsockConnection) {
    guard connection.state == .established || connection.state == .draining else { return }
    if connection.isHungUp, connection.hostEnded, !connection.hostRefuses { return hostIsGone(connection) }
    flush(connection)
    if !connection.hasWhole {
      if connection.state == .draining { return end(connection, tellsGuest: false) }
      if connection.guestShutdown & VsockPacket.Flag.send != 0, !connection.isSendingShut {
        connection.isSendingShut = true
        connection.socket?.shutDown(.sending)
      }
    }
    offer(connection)
  }

  private func flush(_ connection: VsockConnection) {
    while connection.isWritable, let socket = connection.socket, connection.hasWhole {
      let length = connection.isSequenced ? Int(connection.messages.first ?? 0) : connection.incoming.count
      switch unsafe connection.incoming.withFirst(length, { unsafe socket.send($0) }) {
      case .bytes(let count):
        if connection.isSequenced { _ = connection.messages.popFirst() }
        connection.incoming.remove(count)
        connection.forward(count)
      case .wouldBlock, .ended: lacksRoom(connection)
      case .failed(let code) where connection.isSequenced: return failMessage(connection, code)
      case .failed: return hostIsGone(connection)
      }
    }
    if !connection.hasWhole { needsNoRoom(connection) }
  }

  /// A message did not go over: because the program is gone, or because the host takes none that is so long.
  func failMessage(_ connection: VsockConnection, _ code: Int32) {
    guard code == EMSGSIZE else { return hostIsGone(connection) }
    note("a message of the guest is too long for the host's socket (net.core.wmem_default); its connection ends")
    end(connection, tellsGuest: true)
  }

  /// The host program takes no more: the guest is told, and what it sent meanwhile goes nowhere.
  func hostIsGone(_ connection: VsockConnection) {
    if connection.state == .draining { return end(connection, tellsGuest: false) }
    connection.forward(connection.incoming.count)
    connection.incoming.removeAll()
    connection.messages.removeAll()
    connection.hostRefuses = true
    connection.owed.insert(.shutdown)
    offer(connection)
  }

  // MARK: The guest connects

  /// Begins to connect for the guest.
  func connect(_ key: VsockConnection.Key, _ packet: VsockPacket) {
    let connection = add(key, kind: packet.kind, state: .connecting)
    connection.peerAllocation = packet.allocation
    connection.peerForwarded = packet.forwarded
    begin(connection)
  }

  private func take(_ answer: VsockConnectorAnswer, for connection: VsockConnection, until: UInt64? = nil) {
    guard connection.state == .connecting else { return }
    switch answer {
    case .pending: awaited.append(connection)
    case .later: waiting.append(connection) { $0.state != .connecting }
    case .busy:
      let now = monotonicNanoseconds()
      let until = until ?? now &+ limits.retryTime
      guard now < until else { return end(connection, tellsGuest: true) }
      // The first decides when all are tried; those that come later do not put it off.
      if retries.isEmpty { nextRetry = now &+ limits.retryInterval }
      retries.append((connection, until)) { $0.connection.state != .connecting }
      watcher?.wake(at: nextRetry)
    case .failed: end(connection, tellsGuest: true)
    case .connected(let socket):
      guard attach(socket, to: connection) else { return end(connection, tellsGuest: true) }
      connection.state = .established
      connection.owed.insert(.response)
      offer(connection)
    }
  }

  private func takeConnectorAnswers() {
    guard connectorIsReady else { return }
    connectorIsReady = false
    while let connection = awaited.first, let answer = connector.next() {
      _ = awaited.popFirst()
      // One that ended meanwhile lets go of its socket here.
      take(answer, for: connection, until: connection.retriesUntil)
    }
    // As many as have waited, once each: those for which there is no time still wait again.
    for _ in 0..<waiting.count {
      guard let connection = waiting.popFirst() else { return }
      begin(connection)
      if waiting.count > 0, awaited.count >= RemoteConnector.limit { return }
    }
  }

  /// Tries the host programs again that had no room, some at a time.
  private func retryConnections() {
    guard !retries.isEmpty else { return }
    // Something else may have woken the thread.
    guard monotonicNanoseconds() >= nextRetry else {
      watcher?.wake(at: nextRetry)
      return
    }
    var tries = 0
    // Those that are busy again come last.
    for _ in 0..<retries.count where tries < limits.retriesAtOnce {
      guard let (connection, until) = retries.popFirst() else { return }
      guard connection.state == .connecting else { continue }
      connection.retriesUntil = until
      begin(connection)
      tries += 1
    }
    guard !retries.isEmpty else { return }
    nextRetry = monotonicNanoseconds() &+ limits.retryInterval
    watcher?.wake(at: nextRetry)
  }

  private func begin(_ connection: VsockConnection) {
    guard connection.state == .connecting else { return }
    take(
      connector.connect(port: connection.key.hostPort, isSequenced: connection.isSequenced), for: connection, until: connection.retriesUntil
    )
  }

  // MARK: Host programs connect

  /// Takes the connections of host programs that wait.
  private func acceptClients() {
    if mayAccept { for index in listeners.indices { listeners[index].isReady = true } }
    mayAccept = false
    for index in listeners.indices { accept(at: index) }
  }

  private func accept(at index: Int) {
    while listeners[index].isReady {
      guard !isFull else { return isStarved = true }
      do throws(SystemError) {
        let socket = HostSocket(try UnixSocket.accept(from: listeners[index].box.number))
        isStarved = false
        let client = Client(socket: socket, isSequenced: listeners[index].isSequenced)
        endpoints[socket.number] = .client(client)
        clientCount += 1
        if watch(socket.number) {
          readyClients.append(client)
          expectGreeting(of: client)
        } else {
          drop(client)
        }
      } catch {
        // Whoever has given up already is no reason to stop.
        if error.code == ECONNABORTED { continue }
        listeners[index].isReady = false
        guard error.code != EAGAIN else { return }
        // Without descriptors: the next connection that ends gives one back.
        isStarved = true
        note("a host program cannot connect: \(error)")
      }
    }
  }

  private func drop(_ client: Client) {
    guard forget(client) else { return }
    watcher?.unwatch(client.socket.number)
    if isStarved { mayAccept = true }
  }

  private func forget(_ client: Client) -> Bool {
    guard case .client(let known)? = endpoints[client.socket.number], known === client else { return false }
    endpoints[client.socket.number] = nil
    client.isSilent = false
    clientCount -= 1
    return true
  }

  /// Takes a client's first line, once it is there, and no byte more.
  private func hear(_ client: Client) {
    guard case .client(let known)? = endpoints[client.socket.number], known === client else { return }
    let (transfer, bytes) = client.socket.receive(VsockGreeting.longest, peeks: true)
    switch transfer {
    case .wouldBlock: return
    case .bytes: break
    case .ended, .failed: return drop(client)
    }
    switch VsockGreeting(bytes, isWhole: client.isSequenced) {
    case .incomplete where !client.isSequenced: return
    case .incomplete, .wrong:
      note("a host program did not say CONNECT and a port")
      drop(client)
    case .connect(let port, let length):
      _ = client.socket.receive(length)
      request(client, port: port)
    }
  }

  private func request(_ client: Client, port: UInt32) {
    guard let key = freeKey(guestPort: port), !client.isSequenced || allowsSequenced else { return drop(client) }
    _ = forget(client)
    let kind = client.isSequenced ? VsockPacket.Kind.sequenced : VsockPacket.Kind.stream
    let connection = add(key, kind: kind, state: .requested)
    // Watched already, with the same number.
    connection.socket = client.socket
    endpoints[client.socket.number] = .connection(connection)
    connection.owed.insert(.request)
    keepUntilAnswered(connection)
    offer(connection)
  }

  /// A port of the host that has no connection with a port of the guest.
  private func freeKey(guestPort: UInt32) -> VsockConnection.Key? {
    for _ in 0...limits.connections {
      let key = VsockConnection.Key(hostPort: nextHostPort, guestPort: guestPort)
      // The upper half of the numbers; the very last one means any port.
      nextHostPort = nextHostPort >= UInt32.max - 1 ? VsockSwitch.firstHostPort : nextHostPort + 1
      if connections[key] == nil { return key }
    }
    return nil
  }

  /// The guest has accepted what a host program asked for.
  func welcome(_ connection: VsockConnection) {
    connection.state = .established
    let line = Array("OK \(connection.key.hostPort)\n".utf8)
    if let socket = connection.socket, socket.send(line) != .bytes(line.count) { hostIsGone(connection) }
    settle(connection)
  }

  // MARK: Time

  /// Ends a connection unless the guest answers in time.
  func keepUntilAnswered(_ connection: VsockConnection) {
    let time = monotonicNanoseconds() &+ limits.patience
    deadlines.append((connection, time)) { !$0.connection.awaitsGuest }
    watcher?.wake(at: time)
  }

  /// Drops a client that does not say where to in time: it has a place that others wait for.
  func expectGreeting(of client: Client) {
    let time = monotonicNanoseconds() &+ limits.greetingTime
    silent.append(SilentClient(client: client, time: time)) { !$0.isWaiting }
    watcher?.wake(at: time)
  }

  private func dropSilentClients() {
    guard !silent.isEmpty else { return }
    let now = monotonicNanoseconds()
    while let next = silent.first {
      guard !next.isWaiting || next.time <= now else {
        watcher?.wake(at: next.time)
        return
      }
      _ = silent.popFirst()
      if next.isWaiting, let client = next.client {
        note("a host program did not say CONNECT and a port")
        drop(client)
      }
    }
  }

  private func endOverdueConnections() {
    guard !deadlines.isEmpty else { return }
    let now = monotonicNanoseconds()
    while let (connection, time) = deadlines.first {
      let isWaiting = connection.awaitsGuest
      guard !isWaiting || time <= now else {
        watcher?.wake(at: time)
        return
      }
      _ = deadlines.popFirst()
      if isWaiting { end(connection, tellsGuest: true) }
    }
  }
}
