internal import Bus
internal import GuestMemory
internal import PCI
internal import Platform
internal import Synchronization

/// The life of the device as the driver leads it (virtio 1.2, sections 2.1 and 3.1).
extension VirtioPCIDevice {
  /// Takes a write of the status register. Bits can be added only; zero resets.
  func setStatus(_ value: UInt8, _ state: inout State) {
    guard value != 0 else { return reset(&state) }
    let before = interrupt.status
    var added = DeviceStatus(rawValue: value).intersection(.settable).subtracting(before)
    if added.contains(.featuresOK), !state.common.featuresAreAcceptable {
      // The driver reads back that the bit is not there (section 2.2.2).
      added.remove(.featuresOK)
    }
    // Without agreement on the features nothing can be served; and a driver that has given up can only reset.
    let after = before.union(added)
    if !after.contains(.featuresOK) || after.contains(.failed) { added.remove(.driverOK) }
    interrupt.add(added)
    if added.contains(.driverOK) { activate(&state) }
  }

  private func activate(_ state: inout State) {
    for doorbell in doorbells { doorbell.drain() }
    start(&state) { _, _ in }
  }

  /// Makes the queues and lets the device serve them; where that fails the driver is told.
  ///
  /// - Parameter prepare: Called for each queue that the driver enabled, before the device gets it.
  func start(_ state: inout State, prepare: (Int, VirtQueue) throws -> Void) {
    do {
      let queues = try state.common.queues.enumerated().map { try makeQueue($0, $1, features: state.common.driverFeatures) }
      for (index, queue) in queues.enumerated() {
        if let queue { try prepare(index, queue) }
      }
      state.queues = queues
      state.isActive = true
      attachDoorbells(&state)
      try device.activate(
        VirtioActivation(memory: host.memory, features: state.common.driverFeatures, queues: queues, interrupt: interrupt))
    } catch {
      stop(&state)
      interrupt.deviceNeedsReset("\(error)")
    }
  }

  private func makeQueue(_ index: Int, _ queue: CommonConfiguration.Queue, features: UInt64) throws -> VirtQueue? {
    guard queue.isEnabled else { return nil }
    let configuration = QueueConfiguration(
      size: queue.size, maximumSize: queue.maximumSize, descriptorArea: GuestAddress(queue.descriptorArea),
      driverArea: GuestAddress(queue.driverArea),
      deviceArea: GuestAddress(queue.deviceArea))
    return try VirtQueue(
      index: UInt16(index), configuration: configuration, memory: host.memory, features: features, doorbell: doorbells[index],
      interrupt: interrupt)
  }

  /// Ends all service; the registers stay.
  private func stop(_ state: inout State) {
    detachDoorbells(&state)
    state.isActive = false
    device.reset()
    state.queues = []
  }

  func reset(_ state: inout State) {
    stop(&state)
    state.common.reset()
    // Last, because the status must not read zero before the device has let go of the queues (section 4.1.4.3.1).
    interrupt.reset()
  }

  /// Resets the device as the driver could, and takes its range off the bus; for the end of the machine or an unplugged device.
  public func stop() {
    state.withLock { state in
      reset(&state)
      state.decoding.release()
    }
  }

  /// Holds the device still, with all requests in flight completed, until `resume`.
  public func suspend() { state.withLock { _ in device.suspend() } }

  /// Ends `suspend`.
  public func resume() { state.withLock { _ in device.resume() } }

  // MARK: Doorbells

  /// Lets the enabled queues' notifications reach their events directly, if the range is decoded and the device active.
  func attachDoorbells(_ state: inout State) {
    guard state.isActive, let registrar = host.doorbells, let base = state.decoding.base(ofBAR: VirtioPCILayout.bar) else { return }
    for queue in enabledQueues(state) {
      do { try registrar.attach(event: doorbells[queue].number, at: base + VirtioPCILayout.notifyOffset(queue: queue)) } catch {
        // Its notifications now reach `write`, which takes longer and works.
        log.warning("queue \(queue) cannot have a doorbell of its own: \(error)")
      }
    }
    state.doorbellBase = base
  }

  /// Undoes `attachDoorbells`.
  func detachDoorbells(_ state: inout State) {
    guard let registrar = host.doorbells, let base = state.doorbellBase else { return }
    state.doorbellBase = nil
    for queue in enabledQueues(state) {
      // One that could not be attached cannot be detached either; there is nothing to do about it.
      try? registrar.detach(event: doorbells[queue].number, at: base + VirtioPCILayout.notifyOffset(queue: queue))
    }
  }

  private func enabledQueues(_ state: State) -> [Int] { state.common.queues.indices.filter { state.common.queues[$0].isEnabled } }
}
