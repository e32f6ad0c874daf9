internal import Glibc
internal import Platform

/// What comes from the host: clients, sockets that change, and what becomes of attempts to connect.
extension VsockSwitch {
  /// Notes that a descriptor has changed; what follows from that has its turn later.
  func noted(_ descriptor: Int32, _ interest: EventLoop.Interest) {
    switch endpoints[descriptor] {
    case .client(let client)?: enlist(client)
    case .connection(let connection)?:
      let isHungUp = !interest.isDisjoint(with: .hungUp)
      if isHungUp || interest.contains(.readable) { connection.isReadable = true }
      if isHungUp || interest.contains(.writable) { connection.isWritable = true }
      if isHungUp { connection.isHungUp = true }
      touch(connection)
    case nil:
      if descriptor == connector.number { connectorIsReady = true }
      for index in listeners.indices where listeners[index].box.number == descriptor { listeners[index].isReady = true }
    }
  }

  /// Has a connection go on when it has its turn.
  func touch(_ connection: VsockConnection) {
    guard !connection.isTouched else { return }
    connection.isTouched = true
    touched.append(connection)
  }

  /// Does what follows from changes of the host's descriptors.
  func serveHost() {
    while let connection = touched.popFirst() {
      connection.isTouched = false
      settle(connection)
    }
    takeConnectorAnswers()
    retryConnections()
    dropSilentClients()
    acceptClients()
    while let client = readyClients.popFirst() {
      client.isNoted = false
      hear(client)
    }
  }

  /// Goes on with a connection after something has changed: sends on what is kept, and offers the guest what there is for it.
  func settle(_ connection: VsockConnection) {
    guard connection.state == .established || connection.state == .draining else { return }
    // Nobody reads for a guest that takes no more, so nobody finds the end.
    if connection.isHungUp, !connection.hostEnded, connection.guestShutdown & VsockPacket.Flag.receive != 0 {
      connection.hostEnded = true
      if connection.hostRefuses { connection.owed.insert(.shutdown) }
    }
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
      let now = clock.now
      let until = until ?? now &+ limits.retryTime
      guard now < until else { return end(connection, tellsGuest: true) }
      // The first decides when all are tried; those that come later do not put it off.
      if retries.isEmpty { nextRetry = now &+ limits.retryInterval }
      retries.append((connection, until)) { $0.connection.state != .connecting }
      wake(at: nextRetry)
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
    guard clock.now >= nextRetry else {
      wake(at: nextRetry)
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
    nextRetry = clock.now &+ limits.retryInterval
    wake(at: nextRetry)
  }

  private func begin(_ connection: VsockConnection) {
    guard connection.state == .connecting else { return }
    take(
      connector.connect(port: connection.key.hostPort, isSequenced: connection.isSequenced), for: connection, until: connection.retriesUntil
    )
  }

  // MARK: Time

  /// Ends a connection unless the guest says a word in time.
  func keep(_ connection: VsockConnection, until word: VsockConnection.Word) {
    let time = clock.now &+ limits.patience
    deadlines.append((connection, word), until: time)
    wake(at: time)
  }

  func endOverdueConnections() {
    while let (connection, _) = deadlines.popOverdue(now: clock.now) { end(connection, tellsGuest: true) }
    if let time = deadlines.nextTime { wake(at: time) }
  }
}
