internal import PCI
internal import Platform
internal import Synchronization

/// Saving and restoring; the registers, the vectors, the queues' positions and the device's own state.
extension VirtioPCIDevice {
  private static let version: UInt16 = 1

  /// The state of transport and device, while suspended.
  ///
  /// - Throws: What the device's own snapshot throws.
  public func snapshot() throws -> [UInt8] {
    try state.withLock { state in
      var writer = ByteWriter()
      writer.put(VirtioPCIDevice.version)
      writer.put(state.space.snapshot())
      writer.put(msix.snapshot())
      let counters = interrupt.counters
      writer.put(counters.status)
      writer.put(counters.generation)
      writer.put(counters.causes)
      writer.put(interrupt.configurationVector)
      state.common.save(to: &writer)
      writer.put(state.isActive)
      for queue in state.queues { writer.put(queue?.state.encoded ?? []) }
      writer.put(try device.snapshot())
      return writer.bytes
    }
  }

  /// Takes over a state from `snapshot` of a device with the same configuration; the device serves its queues afterwards if it did then.
  ///
  /// - Throws: `PCIError.badState`, `MalformedBytes`, or what the device throws. The device is as after a reset then.
  public func restore(_ bytes: [UInt8]) throws {
    try state.withLock { state in
      reset(&state)
      do { try takeOver(bytes, &state) } catch {
        reset(&state)
        throw error
      }
    }
  }

  private func takeOver(_ bytes: [UInt8], _ state: inout State) throws {
    var reader = ByteReader(bytes)
    let version: UInt16 = try reader.get()
    guard version == VirtioPCIDevice.version else { throw PCIError.badState("version \(version) is not known") }
    try state.space.restore(try reader.getBytes())
    try msix.restore(try reader.getBytes(), from: state.space, capability: capabilities.msix)
    interrupt.restore(status: try reader.get(), generation: try reader.get(), causes: try reader.get())
    interrupt.setConfigurationVector(try reader.get())
    try state.common.restore(from: &reader)
    let wasActive = try reader.getBool()
    guard interrupt.status.canBe(whileActive: wasActive) else { throw PCIError.badState("the device's status contradicts what it did") }
    if wasActive, !state.common.featuresAreAcceptable { throw PCIError.badState("the driver's features are not what the device offers") }
    var positions: [[UInt8]] = []
    if wasActive { for _ in state.common.queues { positions.append(try reader.getBytes()) } }
    let deviceState = try reader.getBytes()
    try reader.finish()
    try device.restore(deviceState)
    interrupt.disableLine(state.space.command.contains(.disablesInterruptLine))
    followDecoding(&state)
    guard wasActive else { return }
    // A guest's notification may have been lost on the way: each queue is looked at once.
    for doorbell in doorbells { doorbell.signal() }
    start(&state) { index, queue in try queue.restore(try QueueState(encoded: positions[index])) }
  }
}

extension CommonConfiguration {
  /// Appends the registers to a snapshot.
  func save(to writer: inout ByteWriter) {
    writer.put(offeredFeatures)
    writer.put(driverFeatures)
    writer.put(deviceFeatureSelect)
    writer.put(driverFeatureSelect)
    writer.put(queueSelect)
    writer.put(UInt16(queues.count))
    for (index, queue) in queues.enumerated() {
      writer.put(queue.size)
      writer.put(queue.isEnabled)
      writer.put(queue.descriptorArea)
      writer.put(queue.driverArea)
      writer.put(queue.deviceArea)
      writer.put(shared.vector(ofQueue: UInt16(index)))
    }
  }

  /// Takes the registers over; what a queue may be is checked when it is made.
  mutating func restore(from reader: inout ByteReader) throws {
    guard try reader.get() == offeredFeatures else { throw PCIError.badState("the device offers other features") }
    driverFeatures = try reader.get()
    deviceFeatureSelect = try reader.get()
    driverFeatureSelect = try reader.get()
    queueSelect = try reader.get()
    guard try reader.get(UInt16.self) == UInt16(queues.count) else { throw PCIError.badState("the device has another number of queues") }
    for index in queues.indices {
      queues[index].size = try reader.get()
      queues[index].isEnabled = try reader.getBool()
      queues[index].descriptorArea = try reader.get()
      queues[index].driverArea = try reader.get()
      queues[index].deviceArea = try reader.get()
      shared.setVector(try reader.get(), ofQueue: UInt16(index))
    }
  }
}
