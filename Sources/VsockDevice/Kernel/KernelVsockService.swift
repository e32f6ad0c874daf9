internal import Platform
internal import Vhost
internal import Virtio

/// Lends the receive and transmit queues of a driver to the kernel.
final class KernelVsockService: Sendable {
  private let kernel: VhostDevice
  private let queues: VhostQueues
  private let activation: VirtioActivation
  /// Whether the driver has enabled both.
  private let isComplete: Bool

  /// Prepares the queues; the kernel does not begin yet.
  init(_ activation: VirtioActivation, kernel: VhostDevice) throws(SystemError) {
    self.activation = activation
    self.kernel = kernel
    // The event queue is not the kernel's.
    let lent = activation.queues.prefix(2).compactMap { $0 }.map { (queue: $0, ring: UInt32($0.index)) }
    isComplete = lent.count == 2
    let interrupt = activation.interrupt
    queues = try VhostQueues(lent, kernel: kernel, name: "vhost_vsock") { interrupt.deviceNeedsReset("vsock: \($0)") }
  }

  /// Has the kernel serve the queues from where they stand.
  func start() throws {
    guard isComplete else { return }
    try kernel.accept(activation.features)
    try kernel.share(activation.memory)
    try queues.lend { () throws(VhostError) in try kernel.setRunning(true) }
  }

  /// Takes the queues from the kernel.
  func pause() { queues.takeBack { try? kernel.setRunning(false) } }

  /// Ends `pause`.
  func goOn() {
    do { try start() } catch { activation.interrupt.deviceNeedsReset("vsock: the kernel does not go on: \(error)") }
  }

  /// Ends all; the kernel must have been paused.
  func stop() { queues.stop() }
}
