import Bus
import GuestMemory
import Interrupts
import Logging
import PCI
import Platform
import Virtio

/// A device on a bus, and a driver that reaches it as a guest does: through ports and addresses only.
struct TestGuest {
  struct Trouble: Error {}

  /// Offsets in the common configuration structure.
  enum Common {
    static let deviceFeatureSelect: UInt64 = 0x00
    static let deviceFeature: UInt64 = 0x04
    static let driverFeatureSelect: UInt64 = 0x08
    static let driverFeature: UInt64 = 0x0c
    static let configurationVector: UInt64 = 0x10
    static let queueCount: UInt64 = 0x12
    static let status: UInt64 = 0x14
    static let generation: UInt64 = 0x15
    static let queueSelect: UInt64 = 0x16
    static let queueSize: UInt64 = 0x18
    static let queueVector: UInt64 = 0x1a
    static let queueEnable: UInt64 = 0x1c
    static let queueNotifyOffset: UInt64 = 0x1e
    static let descriptors: UInt64 = 0x20
    static let driverArea: UInt64 = 0x28
    static let deviceArea: UInt64 = 0x30
  }

  let bus = Bus()
  let memory: GuestMemory
  let device: FakeDevice
  let doorbells = FakeDoorbells()
  let messages = FakeMessages()
  let line: LevelInterrupt
  let loop: EventLoop
  let root: PCIRoot
  let transport: VirtioPCIDevice
  /// Where the capabilities are in configuration space, by virtio's kind, and MSI-X's under 0x11.
  private(set) var capabilities: [UInt32: Int] = [:]
  let base: UInt64 = 0xd000_0000

  init(_ device: FakeDevice = FakeDevice(), hasRegistrar: Bool = true, packed: Bool = false, enabled: Bool = true) throws {
    self.device = device
    memory = try GuestMemory(regions: [(base: GuestAddress(0), size: 1 << 20)])
    line = try LevelInterrupt()
    loop = try EventLoop()
    guard let window = BusRange(base: base, length: 0x1000_0000) else { throw Trouble() }
    root = PCIRoot(memory: bus, ports: Bus(), windows: PCIWindows(memory32: window), logger: silence)
    transport = try VirtioPCIDevice(
      device, name: "fake", host: VirtioPCIHost(memory: memory, doorbells: hasRegistrar ? doorbells : nil, messages: messages, loop: loop),
      interrupt: line, offersPackedRing: packed, logger: silence)
    try root.add(transport)
    if enabled { configure(4, 2, 6) }
    var next = Int(configuration(0x34, 1))
    while next != 0 {
      let id = configuration(next, 1)
      capabilities[id == 9 ? configuration(next + 3, 1) : id] = next
      next = Int(configuration(next + 1, 1))
    }
  }

  func configuration(_ offset: Int, _ width: Int) -> UInt32 {
    let value = transport.readConfiguration(offset: offset, width: width)
    return width == 4 ? value : value & (1 << UInt32(8 * width) - 1)
  }

  func configure(_ offset: Int, _ width: Int, _ value: UInt32) { transport.writeConfiguration(offset: offset, width: width, value: value) }

  /// Reads the device's range at its first place, over the bus.
  func load(_ offset: UInt64, _ width: Int) -> UInt64 {
    var view = BusView(bus)
    let value = view.read(base + offset, width: width)
    return width == 8 ? value : value & (1 << UInt64(8 * width) - 1)
  }

  func store(_ offset: UInt64, _ width: Int, _ value: UInt64) {
    var view = BusView(bus)
    view.write(base + offset, width: width, value: value)
  }

  var status: UInt64 { load(Common.status, 1) }
  func setStatus(_ value: UInt64) { store(Common.status, 1, value) }

  var offeredFeatures: UInt64 {
    store(Common.deviceFeatureSelect, 4, 0)
    let low = load(Common.deviceFeature, 4)
    store(Common.deviceFeatureSelect, 4, 1)
    return low | load(Common.deviceFeature, 4) << 32
  }

  func accept(_ features: UInt64) {
    store(Common.driverFeatureSelect, 4, 0)
    store(Common.driverFeature, 4, features & 0xffff_ffff)
    store(Common.driverFeatureSelect, 4, 1)
    store(Common.driverFeature, 4, features >> 32)
  }

  /// A place in memory for a queue's three areas.
  static func area(_ queue: UInt64) -> (descriptors: UInt64, driver: UInt64, device: UInt64) {
    let start = 0x1_0000 + queue * 0x4000
    return (start, start + 0x1000, start + 0x2000)
  }

  func setUpQueue(_ queue: UInt64, size: UInt64 = 16, vector: UInt64 = 0xffff) {
    let area = TestGuest.area(queue)
    store(Common.queueSelect, 2, queue)
    store(Common.queueSize, 2, size)
    store(Common.queueVector, 2, vector)
    store(Common.descriptors, 8, area.descriptors)
    store(Common.driverArea, 4, area.driver)
    store(Common.driverArea + 4, 4, 0)
    store(Common.deviceArea, 4, area.device)
    store(Common.deviceArea + 4, 4, 0)
    store(Common.queueEnable, 2, 1)
  }

  /// Tells the device where a driver of rings has laid them out.
  func setUpQueue(_ queue: UInt64, _ configuration: QueueConfiguration, vector: UInt64) {
    store(Common.queueSelect, 2, queue)
    store(Common.queueSize, 2, UInt64(configuration.size))
    store(Common.queueVector, 2, vector)
    store(Common.descriptors, 8, configuration.descriptorArea.rawValue)
    store(Common.driverArea, 8, configuration.driverArea.rawValue)
    store(Common.deviceArea, 8, configuration.deviceArea.rawValue)
    store(Common.queueEnable, 2, 1)
  }

  /// The first steps of any driver (virtio 1.2, section 3.1.1), up to FEATURES_OK.
  func negotiate(_ features: UInt64 = VirtioFeatures.version1) {
    setStatus(0)
    setStatus(1)
    setStatus(3)
    accept(features)
    setStatus(11)
  }

  /// All steps, with both queues.
  func start(_ features: UInt64 = VirtioFeatures.version1) {
    negotiate(features)
    for queue in 0..<UInt64(device.queueSizes.count) { setUpQueue(queue, vector: queue + 1) }
    setStatus(15)
  }

  /// Turns MSI-X on, with data 0x40 + vector in each entry.
  func enableVectors(_ count: Int = 3) {
    guard let capability = capabilities[0x11] else { return }
    configure(capability + 2, 2, 0x8000)
    for vector in 0..<UInt64(count) {
      store(0x6000 + 16 * vector, 8, 0xfee0_0000)
      store(0x6008 + 16 * vector, 4, 0x40 + vector)
      store(0x600c + 16 * vector, 4, 0)
    }
  }

  func kick(_ queue: UInt64) { store(0x3000 + 4 * queue, 2, queue) }
}
