internal import Platform
internal import Virtio

/// Drivers come and go.
extension VsockSwitch {
  /// A driver is there.
  func begin(_ activation: VirtioActivation, watcher: any VsockWatcher) throws(SystemError) {
    rings = VsockRings(activation.queues)
    allowsSequenced = activation.features & VsockFeatures.sequenced != 0
    self.watcher = watcher
    if let number = connector.number { try watcher.watch(number) }
    for listener in listeners { try watcher.watch(listener.box.number) }
    for (descriptor, endpoint) in endpoints {
      try watcher.watch(descriptor)
      switch endpoint {
      case .connection(let connection):
        connection.isRoomWatched = false
        if !connection.isWritable { lacksRoom(connection) }
        // The former driver's thread may have noted something that it had no time for.
        touch(connection)
      case .client(let client): expectGreeting(of: client)
      }
    }
    connectorIsReady = true
    for index in listeners.indices { listeners[index].isReady = true }
  }

  /// Does what there is to do.
  ///
  /// - Returns: Whether there is more: the descriptors have their turn first.
  func turn() -> Bool {
    sendEvent()
    serveHost()
    let hasMoreToTake = serveTransmit()
    // Answers that lie in the ring are in time, however late this thread is.
    if !hasMoreToTake { endOverdueConnections() }
    return fillReceive() || hasMoreToTake || mayAccept || !touched.isEmpty
  }

  /// The driver has gone: all connections end. What it sent still goes to host programs, and clients wait for the next driver.
  func finishDriver() {
    watcher = nil
    rings = VsockRings()
    for connection in Array(connections.values) { release(connection, tellsGuest: false) }
    ready.removeAll()
    touched.removeAll()
    readyClients.removeAll()
    for endpoint in endpoints.values {
      switch endpoint {
      case .connection(let connection): connection.isTouched = false
      case .client(let client): client.isNoted = false
      }
    }
    resets.removeAll()
    resetsInQueue = []
    retries.removeAll()
    waiting.removeAll()
    deadlines.removeAll()
    silent.removeAll()
  }

  /// Gives the bytes on their way to host programs some time to arrive.
  func drain(milliseconds: UInt64) {
    let deadline = monotonicNanoseconds() &+ milliseconds * 1_000_000
    while true {
      var waiting: VsockConnection?
      for case .connection(let connection) in Array(endpoints.values) where connection.state == .draining {
        connection.isWritable = true
        settle(connection)
        if connection.state == .draining { waiting = connection }
      }
      guard let waiting, monotonicNanoseconds() < deadline else { return }
      // Not for one alone, whose program may never read.
      waiting.socket?.waitForRoom(milliseconds: 5)
    }
  }

  /// Tells the driver that all connections are gone, where that is so without its knowledge (virtio 1.2, section 5.10.6.7).
  private func sendEvent() {
    guard owesTransportReset, let queue = rings.event else { return }
    defer { queue.notify() }
    for _ in 0..<Int(queue.size) where owesTransportReset {
      guard VsockRings.next(of: queue, into: &rings.transmitted) else { return }
      var writer = ChainWriter(rings.transmitted)
      // VIRTIO_VSOCK_EVENT_TRANSPORT_RESET; a buffer too small for an event, or out of reach, goes back empty.
      if !rings.transmitted.isCut, (try? writer.write(integer: UInt32(0))) != nil { owesTransportReset = false }
      queue.complete(rings.transmitted.id, written: writer.written)
    }
  }
}

/// The feature bits of socket devices (virtio 1.2, section 5.10.3).
enum VsockFeatures {
  /// VIRTIO_VSOCK_F_STREAM.
  static let stream: UInt64 = 1 << 0
  /// VIRTIO_VSOCK_F_SEQPACKET.
  static let sequenced: UInt64 = 1 << 1
  /// VIRTIO_VSOCK_F_NO_IMPLIED_STREAM.
  static let noImpliedStream: UInt64 = 1 << 2
}
