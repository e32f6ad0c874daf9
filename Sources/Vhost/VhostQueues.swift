public import Platform
internal import Synchronization
public import Virtio

/// Queues of a driver that the host's kernel serves.
///
/// Interrupts go from the kernel to the guest without us, as long as the guest's vectors are open; else a thread passes them on. A ring that
/// the driver has broken is reported.
public final class VhostQueues: Sendable {
  /// What is told of a failure.
  public typealias FailureHandler = @Sendable (any Error) -> Void

  private struct Lent: Sendable {
    let queue: VirtQueue
    /// Which ring of the kernel's it is.
    let ring: UInt32
    /// What the kernel signals while it cannot interrupt the guest itself, and when it does not understand the ring.
    let call: EventFD
    let error: EventFD
  }

  private let kernel: VhostDevice
  private let lent: [Lent]
  private let loop: EventLoop
  private let isServed = Mutex(false)
  private let thread = Mutex<PThread?>(nil)

  /// Starts the thread that passes interrupts on; the kernel does not begin yet.
  ///
  /// - Parameters:
  ///   - queues: Each with the number of its ring in the kernel's device.
  ///   - kernel: Knows the driver's features and the guest's memory.
  ///   - name: The thread's name.
  ///   - onFailure: Called on that thread, at most once for each queue and once for the thread.
  public init(_ queues: [(queue: VirtQueue, ring: UInt32)], kernel: VhostDevice, name: String, onFailure: @escaping FailureHandler)
    throws(SystemError)
  {
    self.kernel = kernel
    var lent: [Lent] = []
    for (queue, ring) in queues { lent.append(Lent(queue: queue, ring: ring, call: try EventFD(), error: try EventFD())) }
    self.lent = lent
    let loop = try EventLoop()
    self.loop = loop
    for lent in lent {
      try loop.add(lent.call.number) { _ in
        lent.call.drain()
        lent.queue.interrupt.signalUsed(queue: lent.queue.index)
      }
      // Weakly: the loop keeps its handlers.
      try loop.add(lent.error.number) { [weak loop] _ in
        loop?.remove(lent.error.number)
        onFailure(VhostError.brokenRing(lent.queue.index))
      }
    }
    let started = try PThread(name: name) {
      do { try loop.run() } catch { onFailure(error) }
    }
    thread.withLock { $0 = started }
  }

  deinit { stop() }

  /// Has the kernel serve the rings from where they stand. Nothing happens when it does so already.
  ///
  /// - Parameter begin: Starts the device, whose rings are connected.
  /// - Throws: What the kernel refuses; `takeBack` ends what was begun.
  public func lend(begin: () throws(VhostError) -> Void) throws(VhostError) {
    try isServed.withLock { isServed throws(VhostError) in
      guard !isServed else { return }
      for lent in lent {
        let areas = lent.queue.areas
        try kernel.connect(
          VhostRing(
            size: lent.queue.size, nextAvailable: lent.queue.state.nextAvailable, descriptors: areas.descriptors, driver: areas.driver,
            device: areas.device, kick: lent.queue.doorbell, call: lent.call.number, error: lent.error.number),
          index: lent.ring)
      }
      isServed = true
      try begin()
      for lent in lent {
        lent.queue.interrupt.lend(queue: lent.queue.index) { [kernel] event in
          // Fails only where the kernel has lost the ring, which then has nothing to say.
          try? kernel.setCall(event?.number ?? lent.call.number, index: lent.ring)
        }
        // What rang or interrupted meanwhile was for nobody.
        lent.queue.doorbell.signal()
        lent.queue.interrupt.signalUsed(queue: lent.queue.index)
      }
    }
  }

  /// Takes the rings from the kernel, which leaves nothing half done, and notes where they stand.
  ///
  /// - Parameter end: Stops the device.
  public func takeBack(end: () -> Void) {
    isServed.withLock { isServed in
      guard isServed else { return }
      isServed = false
      for lent in lent { lent.queue.interrupt.lend(queue: lent.queue.index, to: nil) }
      end()
      for lent in lent {
        guard let next = try? kernel.nextAvailable(index: lent.ring) else { continue }
        // As many buffers were used as taken.
        try? lent.queue.restore(QueueState(nextAvailable: next, nextUsed: next))
      }
    }
  }

  /// Which rings of the kernel's there are.
  public var rings: [UInt32] { lent.map(\.ring) }

  /// Ends the thread and waits for it; the rings must have been taken back.
  public func stop() {
    loop.stop()
    thread.withLock { $0.take() }?.join()
  }
}
