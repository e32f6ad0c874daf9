internal import Glibc
internal import GuestMemory
internal import Platform
internal import Virtio

/// What goes to the guest.
extension VsockSwitch {
  /// The largest payload of a packet, which drivers expect (VIRTIO_VSOCK_MAX_PKT_BUF_SIZE of Linux).
  private static let largestPayload: UInt32 = 64 << 10

  /// Whether there is something for the guest.
  var hasPacket: Bool { !resets.isEmpty || message != nil || !ready.isEmpty }

  /// Fills receive buffers while there are such, and something to put in.
  ///
  /// - Returns: Whether there is more: others have their turn first.
  func fillReceive(budget: Int = 128) -> Bool {
    guard let queue = rings.receive else { return false }
    defer { queue.notify() }
    var filled = 0
    while hasPacket {
      guard filled < budget else { return true }
      guard rings.takeReceiveBuffer() else { return rings.mayHaveReceiveBuffer }
      fillNext()
      // Nothing was to be sent after all: the buffer waits for what is.
      if rings.takenCount > 0 { rings.putBack() }
      filled += 1
    }
    return false
  }

  /// Fills the buffer that was taken, if there is something to put in.
  private func fillNext() {
    if let reset = resets.popFirst() {
      resetsInQueue.remove(reset)
      return send(header(reset))
    }
    if message != nil { return sendMessagePart() }
    guard let connection = ready.popFirst() else { return }
    connection.isReady = false
    guard !connection.isOver else { return }
    if !connection.owed.isEmpty {
      sendOwed(of: connection)
    } else if connection.canSend {
      if connection.isSequenced { beginMessage(connection) } else { sendBytes(of: connection) }
    }
    offer(connection)
  }

  private func header(_ reset: Reset) -> VsockPacket {
    var packet = VsockPacket()
    packet.source = VsockPacket.hostContext
    packet.destination = context
    packet.sourcePort = reset.key.hostPort
    packet.destinationPort = reset.key.guestPort
    packet.kind = reset.kind
    packet.operation = VsockPacket.Operation.reset
    return packet
  }

  /// A header with the state of the connection's room, of which the guest then knows.
  private func header(_ operation: UInt16, for connection: VsockConnection) -> VsockPacket {
    var packet = header(Reset(key: connection.key, kind: connection.kind))
    packet.operation = operation
    packet.allocation = connection.allowance
    packet.forwarded = connection.forwarded
    connection.toldForwarded = connection.forwarded
    connection.owed.remove(.creditUpdate)
    return packet
  }

  private func send(_ packet: VsockPacket) {
    var writer = ChainWriter(rings.taken[0])
    // There is room: see `takeReceiveBuffer`.
    let isWritten = (try? packet.write(to: &writer)) != nil
    rings.giveBack([isWritten ? writer.written : 0])
  }

  private func sendOwed(of connection: VsockConnection) {
    if connection.owed.contains(.request) {
      connection.owed.remove(.request)
      send(header(VsockPacket.Operation.request, for: connection))
    } else if connection.owed.contains(.response) {
      connection.owed.remove(.response)
      send(header(VsockPacket.Operation.response, for: connection))
    } else if connection.owed.contains(.creditRequest) {
      connection.owed.remove(.creditRequest)
      send(header(VsockPacket.Operation.creditRequest, for: connection))
    } else if connection.owed.contains(.shutdown) {
      connection.owed.remove(.shutdown)
      sendShutdown(of: connection)
    } else {
      send(header(VsockPacket.Operation.creditUpdate, for: connection))
    }
  }

  /// Tells what the host program does no more. After both directions the guest has the last word.
  private func sendShutdown(of connection: VsockConnection) {
    var packet = header(VsockPacket.Operation.shutdown, for: connection)
    packet.flags = connection.hostShutdown
    send(packet)
    guard connection.hostShutdown == VsockConnection.bothWays else { return }
    closeSocket(of: connection)
    keep(connection, until: .last)
  }

  /// The host program has sent its last byte.
  private func hostHasEnded(_ connection: VsockConnection) {
    connection.hostEnded = true
    // One that has closed its socket takes nothing either.
    if connection.isHungUp {
      connection.hostRefuses = true
      connection.forward(connection.incoming.count)
      connection.incoming.removeAll()
      connection.messages.removeAll()
    }
    connection.owed.insert(.shutdown)
  }

  // MARK: Bytes

  /// Reads bytes of a host program straight into the guest's buffers; into several at once where there are many bytes.
  private func sendBytes(of connection: VsockConnection) {
    guard let socket = connection.socket else { return }
    var wanted = Int(min(connection.credit, Self.largestPayload))
    if connection.isStreaming { wanted = takeMoreBuffers(for: min(Int(connection.credit), socket.readable)) ?? wanted }
    gather(upTo: wanted)
    // Buffers without room for a byte are of no use for this.
    guard vectors.byteCount > 0 else { return rings.giveBack() }
    switch socket.receive(vectors) {
    case .bytes(let count):
      connection.sent &+= UInt32(truncatingIfNeeded: count)
      connection.isStreaming = count == vectors.byteCount
      distribute(count, for: connection)
    case .wouldBlock:
      connection.isReadable = false
      connection.isStreaming = false
    case .ended: hostHasEnded(connection)
    case .failed:
      note("a host program has gone without a word (port \(connection.key.hostPort))")
      end(connection, tellsGuest: true)
    }
  }

  /// Takes buffers until they have room for what can be read.
  ///
  /// - Returns: How many bytes to read; nil when that is not known.
  private func takeMoreBuffers(for count: Int) -> Int? {
    guard count > 0 else { return nil }
    var room = 0
    var index = 0
    while true {
      while index < rings.takenCount {
        room += payloadRoom(index)
        index += 1
      }
      if room >= count || rings.taken[index - 1].writable.count > 8 || !rings.takeReceiveBuffer() { return count }
    }
  }

  private func payloadRoom(_ index: Int) -> Int {
    min(Int(clamping: rings.taken[index].writableBytes) - VsockPacket.size, Int(Self.largestPayload))
  }

  /// Makes a list of the rooms for payload in the buffers that were taken, of `count` bytes at most.
  private func gather(upTo count: Int) {
    vectors.removeAll()
    rooms.removeAll(keepingCapacity: true)
    for index in 0..<rings.takenCount {
      let room = max(0, min(payloadRoom(index), count - vectors.byteCount))
      pieces.removeAll(keepingCapacity: true)
      let before = vectors.byteCount
      // Cannot fail: the room is what the buffer has.
      if (try? rings.taken[index].slices(from: UInt64(VsockPacket.size), count: UInt64(room), of: .writable, into: &pieces)) != nil {
        vectors.append(pieces)
      }
      rooms.append(vectors.byteCount - before)
    }
  }

  /// Makes packets of the buffers, of which the first `count` bytes of payload are filled.
  private func distribute(_ count: Int, for connection: VsockConnection) {
    var rest = count
    lengths.removeAll(keepingCapacity: true)
    for index in 0..<rings.takenCount {
      let part = min(rest, rooms[index])
      rest -= part
      // One of a header's size, or one that is not needed, goes back empty.
      guard part > 0 else {
        lengths.append(0)
        continue
      }
      var packet = header(VsockPacket.Operation.data, for: connection)
      packet.length = UInt32(part)
      var writer = ChainWriter(rings.taken[index])
      lengths.append((try? packet.write(to: &writer)) == nil ? 0 : UInt32(VsockPacket.size + part))
    }
    rings.giveBack(lengths)
  }

  // MARK: Messages

  /// Takes the next message of a host program, if the guest has room for all of it.
  private func beginMessage(_ connection: VsockConnection) {
    guard let socket = connection.socket else { return }
    var (transfer, _) = socket.receive(0, peeks: true)
    // What the host program did not take before it closed its socket is told once, before the messages that it sent.
    if transfer == .failed(ECONNRESET) { (transfer, _) = socket.receive(0, peeks: true) }
    switch transfer {
    case .wouldBlock: connection.isReadable = false
    case .ended: hostHasEnded(connection)
    case .failed: end(connection, tellsGuest: true)
    case .bytes(let length):
      guard length <= limits.hostMessage, length <= Int(connection.peerAllocation) else {
        note("a host program's message of \(length) bytes is longer than the guest's socket takes (\(connection.peerAllocation))")
        return end(connection, tellsGuest: true)
      }
      connection.neededCredit = UInt32(length)
      guard connection.canSend else { return }
      connection.neededCredit = 1
      let bytes = socket.receive(length).1
      // It was there a moment ago, and nobody else reads.
      guard !bytes.isEmpty else { return }
      message = (connection, bytes, 0)
      sendMessagePart()
    }
  }

  /// Sends as much of the message under way as there is room for in one buffer.
  private func sendMessagePart() {
    guard let (connection, bytes, done) = message else { return }
    let count = min(payloadRoom(0), bytes.count - done)
    guard count > 0 else { return rings.giveBack() }
    var packet = header(VsockPacket.Operation.data, for: connection)
    packet.length = UInt32(count)
    let isLast = done + count == bytes.count
    packet.flags = isLast ? VsockPacket.Flag.endOfMessage : 0
    var writer = ChainWriter(rings.taken[0])
    let isWritten: Bool
    do throws(ChainError) {
      try packet.write(to: &writer)
      try writer.write(Array(bytes[done..<done + count]))
      isWritten = true
    } catch { isWritten = false }
    rings.giveBack([isWritten ? writer.written : 0])
    connection.sent &+= UInt32(count)
    message = isLast ? nil : (connection, bytes, done + count)
    if isLast { offer(connection) }
  }
}
