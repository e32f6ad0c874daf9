internal import GuestMemory
internal import Platform
internal import Virtio

/// What comes from the guest.
extension VsockSwitch {
  /// Serves packets of the guest.
  ///
  /// - Returns: Whether there may be more: others have their turn first.
  func serveTransmit(budget: Int = 128) -> Bool {
    guard let queue = rings.transmit, rings.mayHavePacket else { return false }
    var served = 0
    defer { queue.notify() }
    while served < budget {
      guard rings.takeTransmitted() else { return false }
      take(rings.transmitted)
      queue.complete(rings.transmitted.id, written: 0)
      rings.transmitted.trim()
      served += 1
    }
    return true
  }

  /// Takes a packet. Whatever is in it, the device goes on: what belongs to nothing is dropped or answered by a reset.
  func take(_ chain: DescriptorChain) {
    let packet: VsockPacket
    do throws(ChainError) { packet = try VsockPacket(chain) } catch {
      return note("the guest sent a packet without a whole header: \(error)")
    }
    guard packet.source == context, packet.destination == VsockPacket.hostContext else {
      return note("the guest sent a packet from \(packet.source) to \(packet.destination), and is \(context)")
    }
    let key = VsockConnection.Key(hostPort: packet.destinationPort, guestPort: packet.sourcePort)
    guard packet.kind == VsockPacket.Kind.stream || (packet.kind == VsockPacket.Kind.sequenced && allowsSequenced) else {
      if packet.operation != VsockPacket.Operation.reset { owe(Reset(key: key, kind: packet.kind)) }
      return note("the guest sent a packet of the unknown type \(packet.kind)")
    }
    guard let connection = connections[key], connection.kind == packet.kind else { return takeStranger(packet, key) }
    connection.peerAllocation = packet.allocation
    connection.peerForwarded = packet.forwarded
    if connection.credit >= connection.neededCredit { connection.hasAskedForCredit = false }
    take(packet, chain, for: connection)
    offer(connection)
  }

  /// A packet that belongs to no connection.
  private func takeStranger(_ packet: VsockPacket, _ key: VsockConnection.Key) {
    switch packet.operation {
    case VsockPacket.Operation.request where connections[key] == nil && !isFull: connect(key, packet)
    // One that cannot be answered without end.
    case VsockPacket.Operation.reset: break
    default: owe(Reset(key: key, kind: packet.kind))
    }
  }

  private func take(_ packet: VsockPacket, _ chain: DescriptorChain, for connection: VsockConnection) {
    switch packet.operation {
    case VsockPacket.Operation.response where connection.state == .requested: welcome(connection)
    case VsockPacket.Operation.reset:
      // What was sent before the guest said that it had sent all still goes to the host program.
      if connection.guestShutdown & VsockPacket.Flag.send != 0 {
        release(connection, tellsGuest: false)
      } else {
        end(connection, tellsGuest: false)
      }
    case VsockPacket.Operation.shutdown where connection.state == .established: shutDown(connection, packet.flags)
    case VsockPacket.Operation.data where connection.state == .established: takeData(packet, chain, for: connection)
    case VsockPacket.Operation.creditUpdate: break
    case VsockPacket.Operation.creditRequest where connection.state == .established: connection.owed.insert(.creditUpdate)
    default:
      note("the guest's operation \(packet.operation) does not fit the state of its connection to port \(connection.key.hostPort)")
      end(connection, tellsGuest: true)
    }
  }

  private func shutDown(_ connection: VsockConnection, _ flags: UInt32) {
    connection.guestShutdown |= flags & VsockConnection.bothWays
    if connection.guestShutdown & VsockPacket.Flag.send != 0, connection.openMessage > 0 {
      // The rest of the message will not come.
      return end(connection, tellsGuest: true)
    }
    if connection.guestShutdown == VsockConnection.bothWays { return release(connection, tellsGuest: true) }
    if connection.guestShutdown & VsockPacket.Flag.receive != 0 { connection.socket?.shutDown(.receiving) }
    settle(connection)
  }

  // MARK: Payload

  private func takeData(_ packet: VsockPacket, _ chain: DescriptorChain, for connection: VsockConnection) {
    let length = packet.length
    guard UInt64(length) <= chain.readableBytes - UInt64(VsockPacket.size) else {
      return refuse(connection, "a packet of \(length) bytes in a buffer of \(chain.readableBytes)")
    }
    // It was on its way when the host program went.
    if connection.socket == nil { return end(connection, tellsGuest: true) }
    guard connection.guestShutdown & VsockPacket.Flag.send == 0 else {
      return refuse(connection, "data on a connection that was shut down")
    }
    // What the guest was not told of, it cannot count on.
    guard UInt64(connection.received &- connection.toldForwarded) + UInt64(length) <= UInt64(connection.allowance) else {
      return refuse(connection, "\(length) bytes more than there is credit for")
    }
    connection.received &+= length
    if connection.hostRefuses { return connection.forward(Int(length)) }
    do throws(ChainError) {
      if connection.isSequenced {
        try takeMessage(packet, chain, for: connection)
      } else if length > 0 {
        try takeBytes(Int(length), chain, for: connection)
      }
    } catch { refuse(connection, error.description) }
  }

  private func refuse(_ connection: VsockConnection, _ reason: String) {
    note("the guest broke the rules on its connection to port \(connection.key.hostPort): \(reason)")
    end(connection, tellsGuest: true)
  }

  /// Hands bytes over at once as far as the host program takes them, and keeps the rest.
  private func takeBytes(_ length: Int, _ chain: DescriptorChain, for connection: VsockConnection) throws(ChainError) {
    var reader = ChainReader(chain)
    try reader.skip(UInt64(VsockPacket.size))
    var rest = length
    if connection.incoming.isEmpty, connection.isWritable {
      switch try sendDirectly(length, chain, for: connection) {
      case .bytes(let count):
        connection.forward(count)
        try reader.skip(UInt64(count))
        rest -= count
        if rest > 0 { lacksRoom(connection) }
      case .wouldBlock, .ended: lacksRoom(connection)
      case .failed:
        connection.forward(length)
        return hostIsGone(connection)
      }
    }
    if rest > 0 { try connection.incoming.append(rest, from: &reader) }
  }

  private func sendDirectly(_ length: Int, _ chain: DescriptorChain, for connection: VsockConnection) throws(ChainError)
    -> HostSocket.Transfer
  {
    guard let socket = connection.socket else { return .failed(0) }
    pieces.removeAll(keepingCapacity: true)
    try chain.slices(from: UInt64(VsockPacket.size), count: UInt64(length), of: .readable, into: &pieces)
    vectors.removeAll()
    vectors.append(pieces)
    return socket.send(vectors)
  }

  /// A message goes over as one. So what comes in pieces is kept until its end has come.
  private func takeMessage(_ packet: VsockPacket, _ chain: DescriptorChain, for connection: VsockConnection) throws(ChainError) {
    let length = Int(packet.length)
    let isEnd = packet.flags & VsockPacket.Flag.endOfMessage != 0
    if isEnd, length > 0, connection.incoming.isEmpty, connection.isWritable {
      switch try sendDirectly(length, chain, for: connection) {
      case .bytes: return connection.forward(length)
      case .wouldBlock, .ended: lacksRoom(connection)
      case .failed(let code):
        connection.forward(length)
        return failMessage(connection, code)
      }
    }
    var reader = ChainReader(chain)
    try reader.skip(UInt64(VsockPacket.size))
    if length > 0 { try connection.incoming.append(length, from: &reader) }
    connection.openMessage += packet.length
    // The rest may be longer than what the guest knows of, and it waits for more only.
    connection.oweCredit()
    guard isEnd, connection.openMessage > 0 else { return }
    connection.messages.append(connection.openMessage)
    connection.openMessage = 0
    guard connection.messages.count <= Int(connection.allowance / 8) else {
      return refuse(connection, "more short messages than the host program takes")
    }
    settle(connection)
  }
}
