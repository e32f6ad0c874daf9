internal import Platform
internal import Synchronization
internal import Vhost
internal import Virtio

/// One pair of queues that the host's kernel serves (vhost-net): frames go between the driver's buffers and a tap without us.
///
/// Interrupts go from the kernel to the guest without us, too, as long as the guest's vectors are open; else a thread passes them on.
final class KernelPair: PairServer {
  /// A queue in the kernel's hands.
  private struct Lent: Sendable {
    let queue: VirtQueue
    /// Which ring of the kernel's it is: 0 to receive, 1 to transmit.
    let ring: UInt32
    /// What the kernel signals while it cannot interrupt the guest itself.
    let call: EventFD
  }

  private struct State {
    var lent: [Lent] = []
    var isServed = false
    var loop: EventLoop?
    var thread: PThread?
    var onFailure: FailureHandler?
  }

  private let kernel: VhostDevice
  private let tap: DescriptorBox
  private let state = Mutex(State())

  /// - Parameters:
  ///   - kernel: Owned by this process.
  ///   - tap: A queue of the tap.
  init(kernel: VhostDevice, tap: DescriptorBox) {
    self.kernel = kernel
    self.tap = tap
  }

  func begin(_ pair: QueuePair, _ activation: VirtioActivation, _ shared: NetShared, isUsed: Bool, onFailure: @escaping FailureHandler)
    throws
  {
    let queues = [(pair.receive, UInt32(0)), (pair.transmit, UInt32(1))]
    let lent = try queues.compactMap { queue, ring in try queue.map { Lent(queue: $0, ring: ring, call: try EventFD()) } }
    try kernel.accept(activation.features & (try kernel.features()) & ~VhostFeatures.header)
    try kernel.share(activation.memory)
    let (loop, thread) = try startRelay(lent, onFailure)
    state.withLock { $0 = State(lent: lent, loop: loop, thread: thread, onFailure: onFailure) }
    if isUsed {
      do { try state.withLock { try serve(&$0) } } catch {
        stop()
        join()
        throw error
      }
    }
  }

  /// Starts the thread that passes interrupts on.
  private func startRelay(_ lent: [Lent], _ onFailure: @escaping FailureHandler) throws(SystemError) -> (EventLoop, PThread) {
    let loop = try EventLoop()
    for lent in lent {
      try loop.add(lent.call.number) { _ in
        lent.call.drain()
        lent.queue.interrupt.signalUsed(queue: lent.queue.index)
      }
    }
    let thread = try PThread(name: "vhost_net") {
      do { try loop.run() } catch { onFailure(error) }
    }
    return (loop, thread)
  }

  /// Has the kernel serve the rings from where they stand.
  private func serve(_ state: inout State) throws(VhostError) {
    guard !state.isServed else { return }
    for lent in state.lent {
      let areas = lent.queue.areas
      try kernel.connect(
        VhostRing(
          size: lent.queue.size, nextAvailable: lent.queue.state.nextAvailable, descriptors: areas.descriptors, driver: areas.driver,
          device: areas.device, kick: lent.queue.doorbell, call: lent.call.number),
        index: lent.ring)
    }
    // Those that began are stopped where another does not.
    state.isServed = true
    for lent in state.lent { try kernel.setBackend(tap.number, index: lent.ring) }
    for lent in state.lent {
      lent.queue.interrupt.lend(queue: lent.queue.index) { [kernel] event in
        // Fails only where the kernel has lost the ring, which then has nothing to say.
        try? kernel.setCall(event?.number ?? lent.call.number, index: lent.ring)
      }
      // What rang or interrupted meanwhile was for nobody.
      lent.queue.doorbell.signal()
      lent.queue.interrupt.signalUsed(queue: lent.queue.index)
    }
  }

  /// Takes the rings from the kernel, which leaves nothing half done, and notes where they stand.
  private func takeBack(_ state: inout State) {
    guard state.isServed else { return }
    state.isServed = false
    for lent in state.lent { lent.queue.interrupt.lend(queue: lent.queue.index, to: nil) }
    for lent in state.lent { try? kernel.setBackend(nil, index: lent.ring) }
    for lent in state.lent {
      guard let next = try? kernel.nextAvailable(index: lent.ring) else { continue }
      // As many buffers were used as taken.
      try? lent.queue.restore(QueueState(nextAvailable: next, nextUsed: next))
    }
  }

  func use(_ isUsed: Bool) {
    let failure: (any Error, FailureHandler?)? = state.withLock { state in
      guard isUsed else {
        takeBack(&state)
        return nil
      }
      do throws(VhostError) {
        try serve(&state)
        return nil
      } catch { return (error, state.onFailure) }
    }
    if let (error, handler) = failure { handler?(error) }
  }

  func stop() {
    state.withLock { state in
      takeBack(&state)
      state.loop?.stop()
    }
  }

  func join() {
    let thread = state.withLock { state in
      let thread = state.thread
      state = State()
      return thread
    }
    thread?.join()
  }
}

/// Feature bits of the kernel's that no driver sees (linux/vhost.h).
enum VhostFeatures {
  /// VHOST_NET_F_VIRTIO_NET_HDR, bit 27: the kernel adds headers, which a tap has already.
  static let header: UInt64 = 1 << 27
}
