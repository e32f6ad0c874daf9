internal import Virtio

/// The three queues of a driver, and the buffers that are taken from them.
struct VsockRings {
  /// How many receive buffers are filled with one system call at most.
  static let batch = 32

  var receive: VirtQueue?
  var transmit: VirtQueue?
  var event: VirtQueue?
  /// The chain that is being served.
  var transmitted = DescriptorChain(admitsUnreachable: true)
  /// Receive buffers that were taken and not given back, in order.
  var taken: [DescriptorChain] = (0..<batch).map { _ in DescriptorChain() }
  var takenCount = 0
  /// Whether the driver was told not to ring when it makes buffers available, and not yet told otherwise.
  private(set) var transmitIsSilent = false
  private(set) var receiveIsSilent = false

  init() {}

  init(_ queues: [VirtQueue?]) {
    receive = queues.first ?? nil
    transmit = queues.dropFirst().first ?? nil
    event = queues.dropFirst(2).first ?? nil
  }

  /// Takes the next chain of a queue. When there is none, asks the driver to ring.
  ///
  /// - Returns: Whether there is one. A driver's mistake is the end of the queue.
  static func next(of queue: VirtQueue, into chain: inout DescriptorChain) -> Bool {
    do throws(QueueError) {
      if try queue.next(into: &chain) { return true }
      guard try queue.enableNotifications() else { return false }
      queue.disableNotifications()
      return try queue.next(into: &chain)
    } catch {
      queue.fail(error)
      return false
    }
  }

  /// Whether there is a packet of the driver's, or may be one of which nobody hears.
  var mayHavePacket: Bool { transmitIsSilent || transmit?.hasNext == true }

  /// Whether there is a receive buffer, or may be one of which nobody hears.
  var mayHaveReceiveBuffer: Bool { receiveIsSilent || receive?.hasNext == true }

  /// Takes the driver's next packet into `transmitted`.
  mutating func takeTransmitted() -> Bool {
    guard let transmit else { return false }
    if !transmitIsSilent { transmit.disableNotifications() }
    transmitIsSilent = VsockRings.next(of: transmit, into: &transmitted)
    return transmitIsSilent
  }

  /// Takes one more receive buffer that has room for a header; smaller ones go back empty.
  mutating func takeReceiveBuffer() -> Bool {
    guard let receive, takenCount < VsockRings.batch else { return false }
    if !receiveIsSilent { receive.disableNotifications() }
    // Bounded, for a driver may make such buffers available as fast as they come back.
    for _ in 0..<Int(receive.size) {
      receiveIsSilent = VsockRings.next(of: receive, into: &taken[takenCount])
      guard receiveIsSilent else { return false }
      if taken[takenCount].writableBytes >= UInt64(VsockPacket.size) {
        takenCount += 1
        return true
      }
      receive.complete(taken[takenCount].id, written: 0)
    }
    return false
  }

  /// Gives the receive buffers back.
  ///
  /// - Parameter written: How many bytes were written to each, from the first on; the others get nothing.
  mutating func giveBack(_ written: [UInt32] = []) {
    for index in 0..<takenCount {
      receive?.complete(taken[index].id, written: index < written.count ? written[index] : 0)
      taken[index].trim()
    }
    takenCount = 0
  }

  /// Puts the only buffer that was taken back, as if it had not been.
  mutating func putBack() {
    guard takenCount == 1 else { return giveBack() }
    if receive?.putBack(taken[0].id) != true { receive?.complete(taken[0].id, written: 0) }
    takenCount = 0
  }
}
