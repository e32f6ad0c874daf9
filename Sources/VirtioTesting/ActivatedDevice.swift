public import GuestMemory
internal import Platform
public import Virtio

/// Activates a device as a transport would, lets `body` play the driver, and resets the device.
///
/// - Parameters:
///   - device: At rest.
///   - features: The ring features that the driver accepts; RING_PACKED makes packed rings.
///   - deviceFeatures: A mask for the device's own features that the driver accepts.
///   - queueSizes: Smaller queues than the device offers; 0 leaves a queue disabled.
///   - memory: Where the driver lays out its rings; 128 MiB at 0 and 1 MiB at 4 GiB by default.
/// - Throws: What `body` throws, or what the device's activation threw.
public func withActivatedDevice<Result>(
  _ device: any VirtioDevice, features: UInt64 = ActivatedDevice.usualFeatures, deviceFeatures: UInt64 = .max,
  queueSizes: [UInt16]? = nil, memory: GuestMemory? = nil, _ body: (ActivatedDevice) throws -> Result
) throws -> Result {
  let memory = try memory ?? GuestMemory(regions: [(GuestAddress(0), 128 << 20), (GuestAddress(1 << 32), 1 << 20)])
  let driver = try ActivatedDevice(
    device, features: (features & VirtioFeatures.reservedForTransport) | (device.features & deviceFeatures),
    queueSizes: queueSizes ?? device.queueSizes, memory: memory)
  try driver.activate()
  defer { device.reset() }
  return try body(driver)
}

/// A device with its queues, seen from the driver.
public final class ActivatedDevice {
  /// VERSION_1, INDIRECT_DESC and EVENT_IDX: what Linux accepts.
  public static let usualFeatures = VirtioFeatures.version1 | VirtioFeatures.indirectDescriptors | VirtioFeatures.eventIndex

  /// A request that is done.
  public struct Completion: Sendable {
    /// The request.
    public let request: Request
    /// How many bytes the device says it wrote.
    public let written: UInt32
    /// Those bytes.
    public let bytes: [UInt8]
  }

  /// The device.
  public let device: any VirtioDevice
  /// The features accepted, of the device and of the rings.
  public let features: UInt64
  /// The guest's RAM.
  public let memory: GuestMemory
  /// What the device told the driver.
  public let interrupt: FakeInterrupt
  /// The drivers of the queues, in the specification's order; those of disabled ones are there too.
  public private(set) var drivers: [any QueueDriver] = []
  /// The device's side of the queues, `nil` where disabled. Only for looking on while the device rests or is suspended.
  public private(set) var queues: [VirtQueue?] = []
  private let sizes: [UInt16]
  private var doorbells: [EventFD] = []
  private var requests: [[UInt16: Request]] = []

  init(_ device: any VirtioDevice, features: UInt64, queueSizes: [UInt16], memory: GuestMemory) throws {
    self.device = device
    self.features = features
    self.memory = memory
    sizes = queueSizes
    interrupt = try FakeInterrupt()
  }

  /// Lays out fresh rings and activates the device: again after `device.reset`, as a driver that is loaded again.
  public func activate() throws {
    let span = memory.regions[0].size / UInt64(max(sizes.count, 1)) & ~4095
    drivers = try sizes.enumerated().map { index, size in
      let base = memory.regions[0].base.rawValue + UInt64(index) * span
      let heap = GuestHeap(memory, base: max(base, 4096), count: span - 4096)
      return features & VirtioFeatures.packedRing != 0
        ? try PackedDriver(size: max(size, 1), features: features, heap: heap)
        : try SplitDriver(size: max(size, 1), features: features, heap: heap)
    }
    doorbells = try sizes.map { _ in try EventFD() }
    requests = sizes.map { _ in [:] }
    queues = try sizes.indices.map { sizes[$0] == 0 ? nil : try makeQueue($0) }
    try device.activate(VirtioActivation(memory: memory, features: features, queues: queues, interrupt: interrupt))
  }

  private func makeQueue(_ index: Int) throws -> VirtQueue {
    try VirtQueue(
      index: UInt16(index), configuration: drivers[index].configuration, memory: memory, features: features, doorbell: doorbells[index],
      interrupt: interrupt)
  }

  /// Rings a queue's doorbell, wanted or not.
  public func ring(_ queue: Int) { doorbells[queue].signal() }

  /// Makes a request available and rings if the device wants it.
  public func submit(
    _ queue: Int, readable: [[UInt8]] = [], writable: [Int] = [], indirect: Bool = false
  ) throws -> Request {
    let request = try drivers[queue].submit(readable: readable, writable: writable, indirect: indirect)
    requests[queue][request.id] = request
    if try drivers[queue].wantsDoorbell() { ring(queue) }
    return request
  }

  /// Waits for the next request of a queue that is done. The interrupt must come too: it is what is waited for.
  ///
  /// - Throws: `timeout`, `deviceNeedsReset`, or `badUsed`.
  public func wait(_ queue: Int, for duration: Duration = .seconds(10)) throws -> Completion {
    let completion = try within(duration, "a completion in queue \(queue)") { try poll(queue) }
    return completion
  }

  /// The next request of a queue that is done; `nil` when there is none now.
  public func poll(_ queue: Int) throws -> Completion? { try pollUsed(queue).map { try completion(queue, $0) } }

  /// As `poll`, for requests that were added to the queue's driver itself.
  public func pollUsed(_ queue: Int) throws -> UsedElement? {
    if let used = try drivers[queue].poll() { return used }
    try drivers[queue].wish(.next)
    return try drivers[queue].poll()
  }

  private func completion(_ queue: Int, _ used: UsedElement) throws -> Completion {
    guard let request = requests[queue].removeValue(forKey: used.id) else {
      throw TestingError.badUsed("descriptor \(used.id) was never submitted")
    }
    return Completion(request: request, written: used.written, bytes: try drivers[queue].written(request, count: used.written))
  }

  /// Makes a request and waits until it is done; others may not be under way in this queue.
  public func perform(
    _ queue: Int, readable: [[UInt8]] = [], writable: [Int] = [], indirect: Bool = false
  ) throws -> Completion {
    _ = try submit(queue, readable: readable, writable: writable, indirect: indirect)
    return try wait(queue)
  }

  /// Waits until the device asks to be reset, and returns the reason.
  public func waitForReset(for duration: Duration = .seconds(10)) throws -> String {
    try within(duration, "a request to be reset", stopsAtReset: false) { interrupt.record.resetReasons.first }
  }

  /// Waits until `look` finds something, looking after each interrupt.
  public func within<Found>(
    _ duration: Duration, _ what: String, stopsAtReset: Bool = true, _ look: () throws -> Found?
  ) throws -> Found {
    let deadline = ContinuousClock.now + duration
    while true {
      if let found = try look() { return found }
      if stopsAtReset, let reason = interrupt.record.resetReasons.first { throw TestingError.deviceNeedsReset(reason) }
      let left = deadline - ContinuousClock.now
      guard left > .zero else { throw TestingError.timeout(what) }
      interrupt.wait(milliseconds: Int(left / .milliseconds(1)) + 1)
    }
  }
}
