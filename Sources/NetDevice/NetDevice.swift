public import Logging
public import Platform
internal import Synchronization
public import Virtio

/// A network card of the guest (virtio 1.2, section 5.1).
///
/// Each pair of queues has a thread of its own, which sleeps in the kernel until the driver rings or a frame comes; the control queue has
/// another.
public final class NetDevice: VirtioDevice {
  /// The network device's number.
  public var type: VirtioDeviceType { .net }
  /// What the network takes, and all that the control queue can do.
  public let features: UInt64
  /// The queues of each pair, to receive and to transmit, then the control queue (section 5.1.2).
  public let queueSizes: [UInt16]

  private struct State {
    var activation: VirtioActivation?
    var shared: NetShared?
    var control: QueueWorker?
    var isSuspended = false
  }

  private let backend: any NetBackend
  private let control: NetControl
  private let logger: Logger
  /// What a guest may make the host say, and do, again and again.
  private let complaints = Mutex(LineQuota(lines: 5, seconds: 60))
  private let changes = Mutex(LineQuota(lines: 32, seconds: 1))
  private let losses: FrameLosses
  private let servers: [any PairServer]
  private let limits: (transmit: RateLimiter?, receive: RateLimiter?)
  private let mtu: UInt16?
  private let state = Mutex(State())
  /// Who says which pairs are used, one at a time: the driver by its control queue, the machine's user by the link.
  private let usage = Mutex(())

  /// Makes a card in a network.
  ///
  /// - Parameters:
  ///   - mac: The card's address.
  ///   - mtu: The largest packet that the driver is told to send, in bytes; `nil` to tell it nothing.
  ///   - backend: The network, with a channel for each pair of queues, 1 to 16.
  ///   - limits: How much may go each way.
  ///   - logger: Where the host's failures go.
  public convenience init(
    mac: MACAddress, mtu: UInt16? = nil, backend: any NetBackend, limits: RateLimits = RateLimits(),
    logger: Logger = Logger(label: "crosvm.net")
  ) {
    self.init(mac: mac, mtu: mtu, backend: backend, limits: limits, kernel: nil, logger: logger)
  }

  /// The host's kernel, where it serves the queues.
  struct Kernel {
    /// One for each pair.
    let servers: [any PairServer]
    /// What it has.
    let features: UInt64
  }

  /// - Parameter kernel: Serves the queues in the place of threads.
  init(mac: MACAddress, mtu: UInt16?, backend: any NetBackend, limits: RateLimits, kernel: Kernel?, logger: Logger) {
    let pairs = backend.channels.count
    self.backend = backend
    self.logger = logger
    self.mtu = mtu
    losses = FrameLosses(logger: logger)
    self.limits = (RateLimiter(limits), RateLimiter(limits))
    servers = kernel?.servers ?? backend.channels.enumerated().map { NetWorker(name: "\(backend.threadName)-\($0)", channel: $1) }
    control = NetControl(mac: mac, pairLimit: UInt16(clamping: pairs))
    queueSizes =
      [UInt16](repeating: NetConfiguration.queueSize, count: 2 * pairs) + [NetConfiguration.controlQueueSize]
    let lacking = NetFeatures.mergeableBuffers & ~(kernel?.features ?? .max)
    features = NetDevice.features(backend, pairs: pairs, hasMTU: mtu != nil) & ~lacking
  }

  private static func features(_ backend: any NetBackend, pairs: Int, hasMTU: Bool) -> UInt64 {
    var features =
      NetFeatures.mac | NetFeatures.status | NetFeatures.mergeableBuffers | NetFeatures.controlQueue | NetFeatures.controlReceive
      | NetFeatures.controlReceiveExtra | NetFeatures.controlVLAN | NetFeatures.controlMAC | NetFeatures.guestAnnounce
    features |= backend.offloads.features
    if backend.offloads.contains(.checksum) { features |= NetFeatures.controlGuestOffloads }
    if pairs > 1 { features |= NetFeatures.multipleQueues }
    if hasMTU { features |= NetFeatures.mtu }
    return features
  }

  /// Begins to serve the queues.
  public func activate(_ activation: VirtioActivation) throws {
    reset(keepsRestored: true)
    let filter = control.begin(features: activation.features)
    let shared = NetShared(
      features: activation.features, filter: filter, losses: losses, link: control.link, taken: control.taken,
      onLoss: lossHandler(activation), transmitLimiter: limits.transmit, receiveLimiter: limits.receive)
    try backend.accept(control.offloads)
    try backend.use(channels: control.pairs)
    try state.withLock { state in
      state.activation = activation
      state.shared = shared
      if !state.isSuspended { try start(&state, activation, shared) }
    }
    if control.mustAnnounce { activation.interrupt.signalConfigurationChange() }
  }

  /// What happens when the network goes for good: the card has no link any more.
  private func lossHandler(_ activation: VirtioActivation) -> @Sendable () -> Void {
    { [control, logger] in
      guard control.link.lose() else { return }
      logger.error("the network behind a card has gone: the card has no link from now on")
      activation.interrupt.signalConfigurationChange()
    }
  }

  private func start(_ state: inout State, _ activation: VirtioActivation, _ shared: NetShared) throws {
    do {
      for (index, server) in servers.enumerated() where index < pairs(activation.features) {
        let pair = QueuePair(receive: activation.queue(2 * index), transmit: activation.queue(2 * index + 1))
        if pair.isEmpty { continue }
        try server.begin(pair, activation, shared, isUsed: isUsed(pair: index)) { [weak self] error in
          self?.complain("network card stopped: \(error)")
          activation.interrupt.deviceNeedsReset("net: the host failed: \(error)")
        }
      }
      state.control = try startControl(activation)
    } catch {
      stopServers(state.control.take())
      throw error
    }
  }

  /// How many pairs the driver can use.
  private func pairs(_ features: UInt64) -> Int { features & NetFeatures.multipleQueues != 0 ? servers.count : 1 }

  private func startControl(_ activation: VirtioActivation) throws -> QueueWorker? {
    // Section 5.1.2: behind the first pair where the driver does not know of the others.
    guard activation.features & NetFeatures.controlQueue != 0, let queue = activation.queue(2 * pairs(activation.features)) else {
      return nil
    }
    return try QueueWorker(
      name: "\(backend.threadName)-control",
      services: [
        QueueWorker.Service(queue, budget: 1) { [weak self] chain, _ in
          var writer = ChainWriter(chain)
          let ack: UInt8 = self?.perform(chain) == true ? 0 : 1
          try? writer.write(integer: ack)
          return .done(written: writer.written)
        }
      ])
  }

  /// Does what an order of the driver's says; `false` when it cannot be done.
  private func perform(_ chain: DescriptorChain) -> Bool {
    guard let effect = control.perform(chain) else { return false }
    guard effect != .none else { return true }
    // Each takes a lock that all networks of the host share.
    guard changes.withLock({ $0.admit(now: monotonicNanoseconds()) }) != nil else { return false }
    do {
      switch effect {
      case .none: break
      case .offloads(let features): try backend.accept(NetOffloads(guestFeatures: features))
      case .pairs(let count): try backend.use(channels: Int(count))
      }
      control.note(effect)
      if case .pairs = effect { tellServers() }
      return true
    } catch {
      complain("the host does not do what the guest's driver asks of the network: \(error)")
      return false
    }
  }

  /// Says what a guest may cause any number of times.
  private func complain(_ text: String) {
    if complaints.withLock({ $0.admit(now: monotonicNanoseconds()) }) != nil { logger.warning("\(text)") }
  }

  /// Whether a pair is served: the driver uses it, and the cable is plugged in.
  private func isUsed(pair index: Int) -> Bool { control.link.isUp && index < control.pairs }

  private func tellServers() {
    usage.withLock { _ in
      for (index, server) in servers.enumerated() { server.use(isUsed(pair: index)) }
    }
  }

  /// Ends all threads; the driver gets no more frames.
  public func reset() { reset(keepsRestored: false) }

  private func reset(keepsRestored: Bool) {
    let control = state.withLock { state in
      (state.activation, state.shared) = (nil, nil)
      return state.control.take()
    }
    stopServers(control)
    self.control.end(keepsRestored: keepsRestored)
  }

  private func stopServers(_ control: QueueWorker?) {
    // First, for its orders start servers, too.
    control?.stop()
    for server in servers { server.stop() }
    for server in servers { server.join() }
  }

  /// Sends what was taken and ends the threads; `resume` starts new ones. What comes meanwhile waits in the network, as far as that keeps it.
  public func suspend() {
    let control = state.withLock { state in
      state.isSuspended = true
      return state.control.take()
    }
    stopServers(control)
  }

  /// Serves the queues again.
  public func resume() {
    state.withLock { state in
      guard state.isSuspended else { return }
      state.isSuspended = false
      guard let activation = state.activation, let shared = state.shared else { return }
      do { try start(&state, activation, shared) } catch {
        logger.error("network card cannot go on: \(error)")
        activation.interrupt.deviceNeedsReset("net: the host failed: \(error)")
      }
    }
  }
}

// MARK: The cable

extension NetDevice {
  /// Plugs the card's cable in, or pulls it, and tells driver and network.
  ///
  /// - Throws: `networkGone`, or when the network refuses; nothing has changed then.
  func setLink(isUp: Bool) throws {
    try state.withLock { state in
      guard !control.link.hasNoNetwork else { throw NetDeviceError.networkGone }
      guard control.link.isUp != isUp else { return }
      try backend.setLink(isUp: isUp)
      control.link.plug(isUp)
      guard let activation = state.activation else { return }
      if !state.isSuspended { tellServers() }
      activation.interrupt.signalConfigurationChange()
    }
  }

  /// Does what an order of `NetOperator` says.
  ///
  /// - Throws: `MalformedBytes`, `NetDeviceError.networkGone`, or `SystemError` from the network.
  public func perform(_ order: [UInt8]) throws -> [UInt8] {
    var reader = ByteReader(order)
    let isUp = try reader.getBool()
    try reader.finish()
    try setLink(isUp: isUp)
    return []
  }
}

// MARK: Configuration space and state

extension NetDevice {
  /// Reads the configuration space (section 5.1.4).
  public func readConfiguration(offset: UInt64, width: Int) -> UInt64 {
    var space = ConfigurationSpace(size: NetLayout.size)
    for (index, byte) in control.mac.bytes.enumerated() { space.set(byte, at: NetLayout.mac + index) }
    space.set(control.status, at: NetLayout.status)
    space.set(UInt16(clamping: servers.count), at: NetLayout.pairLimit)
    space.set(mtu ?? 0, at: NetLayout.mtu)
    return space.read(offset: offset, width: width)
  }

  /// Nothing can be written: the address is changed by the control queue.
  public func writeConfiguration(offset: UInt64, width: Int, value: UInt64) {}

  /// What the driver has set with the control queue.
  public func snapshot() throws -> [UInt8] { control.saved }

  /// Takes over a state. The driver is asked to tell the network where it is now.
  ///
  /// - Throws: `NetDeviceError.badState` for one that is not a network card's, or that of one with more queues.
  public func restore(_ state: [UInt8]) throws { try control.restore(state) }
}

extension VirtioActivation {
  /// A queue by its number; `nil` for one that the driver did not enable.
  fileprivate func queue(_ index: Int) -> VirtQueue? { queues.indices.contains(index) ? queues[index] : nil }
}
