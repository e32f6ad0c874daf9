internal import Glibc
internal import Platform
internal import Synchronization
internal import Vhost
internal import Virtio

/// One pair of queues that the host's kernel serves (vhost-net): frames go between the driver's buffers and a tap without us.
final class KernelPair: PairServer {
  /// The rings of the kernel's device.
  private enum Ring {
    static let receive: UInt32 = 0
    static let transmit: UInt32 = 1
  }

  private struct State {
    var queues: VhostQueues?
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
    let queues = [(pair.receive, Ring.receive), (pair.transmit, Ring.transmit)].compactMap { queue, ring in
      queue.map { (queue: $0, ring: ring) }
    }
    try kernel.accept(activation.features & (try kernel.features()) & ~VhostFeatures.header)
    try kernel.share(activation.memory)
    if !lastDriver.withLock({ $0.isSame(as: shared) }) { forgetFrames() }
    let lent = try VhostQueues(queues, kernel: kernel, name: "vhost_net", onFailure: onFailure)
    state.withLock { $0 = State(queues: lent, onFailure: onFailure) }
    guard isUsed else { return }
    do { try serve(lent) } catch {
      stop()
      join()
      throw error
    }
  }

  /// The driver that was served last: what came while the device was suspended is for it.
  private let lastDriver = Mutex(Driver())

  private struct Driver {
    /// Each driver has one of its own.
    private weak var filter: SharedFilter?

    /// Whether it is still the same; it is remembered.
    mutating func isSame(as shared: NetShared) -> Bool {
      defer { filter = shared.filter }
      return filter === shared.filter
    }
  }

  /// Drops what waits in the tap: it came for the former driver, which may have taken other frames than this one.
  private func forgetFrames() {
    var bytes = [UInt8](repeating: 0, count: NetHeader.size + NetRequest.frameLimit)
    // As many as a tap keeps, at most, so that a flood does not hold this up.
    for _ in 0..<1024 {
      // The array has room for that many.
      guard unsafe read(tap.number, &bytes, bytes.count) > 0 else { return }
    }
  }

  private func serve(_ queues: VhostQueues) throws(VhostError) {
    try queues.lend { () throws(VhostError) in
      for ring in queues.rings { try kernel.setBackend(tap.number, index: ring) }
    }
  }

  private func takeBack(_ queues: VhostQueues) {
    queues.takeBack { for ring in queues.rings { try? kernel.setBackend(nil, index: ring) } }
  }

  func use(_ isUsed: Bool) {
    let (queues, onFailure) = state.withLock { ($0.queues, $0.onFailure) }
    guard let queues else { return }
    guard isUsed else { return takeBack(queues) }
    do throws(VhostError) { try serve(queues) } catch { onFailure?(error) }
  }

  func stop() {
    if let queues = state.withLock({ $0.queues }) { takeBack(queues) }
  }

  func join() {
    let queues = state.withLock { state in
      defer { state = State() }
      return state.queues
    }
    queues?.stop()
  }
}

/// Feature bits of the kernel's that no driver sees (linux/vhost.h).
enum VhostFeatures {
  /// VHOST_NET_F_VIRTIO_NET_HDR, bit 27: the kernel adds headers, which a tap has already.
  static let header: UInt64 = 1 << 27
}
