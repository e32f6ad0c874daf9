internal import Glibc
internal import Platform

/// Host programs that connect, and say to which port of the guest.
extension VsockSwitch {
  /// Takes the connections of host programs that wait.
  func acceptClients() {
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
          enlist(client)
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

  /// Notes that a client may have said something: once, however often it does before it is heard. While the device is suspended nobody is.
  func enlist(_ client: Client) {
    guard !client.isNoted else { return }
    client.isNoted = true
    readyClients.append(client)
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
  func hear(_ client: Client) {
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
    keep(connection, until: .first)
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

  /// Drops a client that does not say where to in time: it has a place that others wait for.
  func expectGreeting(of client: Client) {
    let time = clock.now &+ limits.greetingTime
    silent.append(WeakClient(client: client), until: time)
    wake(at: time)
  }

  func dropSilentClients() {
    while let client = silent.popOverdue(now: clock.now)?.client {
      note("a host program did not say CONNECT and a port")
      drop(client)
    }
    if let time = silent.nextTime { wake(at: time) }
  }
}
