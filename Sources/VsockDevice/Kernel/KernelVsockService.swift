internal import Platform
internal import Synchronization
internal import Vhost
internal import Virtio

/// Lends the queues of a driver to the kernel, and passes its interrupts on.
final class KernelVsockService: Sendable {
  private struct Lent: Sendable {
    let queue: VirtQueue
    /// What the kernel signals.
    let call: EventFD
  }

  private let kernel: VhostDevice
  private let queues: [Lent]
  private let activation: VirtioActivation
  private let loop: EventLoop
  private let thread = Mutex<PThread?>(nil)

  /// Starts the thread that passes interrupts on; the kernel does not begin yet.
  init(_ activation: VirtioActivation, kernel: VhostDevice) throws {
    self.activation = activation
    self.kernel = kernel
    // The event queue is not the kernel's.
    queues = try activation.queues.prefix(2).compactMap { $0 }.map { Lent(queue: $0, call: try EventFD()) }
    loop = try EventLoop()
    for lent in queues {
      try loop.add(lent.call.number) { _ in
        lent.call.drain()
        lent.queue.interrupt.signalUsed(queue: lent.queue.index)
      }
    }
    let loop = loop
    let interrupt = activation.interrupt
    let started = try PThread(name: "vhost_vsock") {
      do { try loop.run() } catch { interrupt.deviceNeedsReset("its worker stopped: \(error)") }
    }
    thread.withLock { $0 = started }
  }

  /// Has the kernel serve the queues from where they stand.
  func start() throws {
    guard queues.count == 2 else { return }
    try kernel.accept(activation.features)
    try kernel.share(activation.memory)
    for lent in queues {
      let areas = lent.queue.areas
      let ring = VhostRing(
        size: lent.queue.size, nextAvailable: lent.queue.state.nextAvailable, descriptors: areas.descriptors, driver: areas.driver,
        device: areas.device, kick: lent.queue.doorbell, call: lent.call.number)
      try kernel.connect(ring, index: UInt32(lent.queue.index))
    }
    try kernel.setRunning(true)
  }

  /// Takes the queues from the kernel, and notes where they stand.
  func pause() {
    guard (try? kernel.setRunning(false)) != nil else { return }
    for lent in queues {
      guard let next = try? kernel.nextAvailable(index: UInt32(lent.queue.index)) else { continue }
      // The kernel leaves nothing half done, so as many buffers were used as taken.
      try? lent.queue.restore(QueueState(nextAvailable: next, nextUsed: next))
    }
  }

  /// Ends `pause`.
  func goOn() {
    do { try start() } catch { activation.interrupt.deviceNeedsReset("the kernel does not go on: \(error)") }
    // What rang meanwhile was for nobody.
    for lent in queues { lent.queue.doorbell.signal() }
  }

  /// Ends the thread.
  func stop() {
    loop.stop()
    thread.withLock { $0.take() }?.join()
  }
}
