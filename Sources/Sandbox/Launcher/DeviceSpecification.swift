internal import GuestMemory
internal import Logging
internal import Platform

/// What the launcher and a device's process get to know of a device: all that is theirs, and nothing else.
struct DeviceSpecification {
  /// The device's name, `block0`.
  var name: String
  /// The kind of its blueprint.
  var kind: String
  /// Whether the driver may choose packed rings.
  var offersPackedRing: Bool
  /// Whether there is an interrupt line beside message interrupts.
  var hasLine: Bool
  /// The least serious lines that are worth sending.
  var level: Logger.Level
  /// Where the guest's memory is, in the order of its file.
  var regions: [(base: GuestAddress, size: UInt64)]
  /// How many requests each of its rings may have in flight.
  var rings: [Int]
  /// The beginnings of the paths of sockets that are connected for it; see `DeviceBlueprint`.
  var connectors: [String]
  /// How many descriptors it may have beyond what every device needs.
  var extraDescriptors: Int
  /// The bytes of memory that it may take beyond what every device may.
  var extraMemory: UInt64
  /// The system calls that it may use, as a program for the kernel.
  var program: [UInt8]
  /// The same for its connectors.
  var connectorProgram: [UInt8]
  /// What the blueprint wrote.
  var blueprint: [UInt8]

  func encode(to writer: inout ByteWriter) {
    writer.put(name)
    writer.put(kind)
    writer.put(offersPackedRing)
    writer.put(hasLine)
    writer.put(UInt8(clamping: Logger.Level.allCases.firstIndex(of: level) ?? 0))
    writer.put(UInt8(clamping: regions.count))
    for region in regions {
      writer.put(region.base.rawValue)
      writer.put(region.size)
    }
    writer.put(UInt8(clamping: rings.count))
    for depth in rings { writer.put(UInt16(clamping: depth)) }
    writer.put(UInt8(clamping: connectors.count))
    for prefix in connectors { writer.put(prefix) }
    writer.put(UInt32(clamping: extraDescriptors))
    writer.put(extraMemory)
    writer.put(program)
    writer.put(connectorProgram)
    writer.put(blueprint)
  }

  init(
    name: String, kind: String, offersPackedRing: Bool, hasLine: Bool, level: Logger.Level, regions: [(base: GuestAddress, size: UInt64)],
    rings: [Int], connectors: [String], extraDescriptors: Int, extraMemory: UInt64, program: [UInt8],
    connectorProgram: [UInt8], blueprint: [UInt8]
  ) {
    self.name = name
    self.kind = kind
    self.offersPackedRing = offersPackedRing
    self.hasLine = hasLine
    self.level = level
    self.regions = regions
    self.rings = rings
    self.connectors = connectors
    self.extraDescriptors = extraDescriptors
    self.extraMemory = extraMemory
    self.program = program
    self.connectorProgram = connectorProgram
    self.blueprint = blueprint
  }

  init(from reader: inout ByteReader) throws(MalformedBytes) {
    name = try reader.getString()
    kind = try reader.getString()
    offersPackedRing = try reader.getBool()
    hasLine = try reader.getBool()
    let level = Int(try reader.get(UInt8.self))
    guard level < Logger.Level.allCases.count else { throw MalformedBytes("a log level that does not exist") }
    self.level = Logger.Level.allCases[level]
    regions = []
    for _ in 0..<(try reader.get(UInt8.self)) { regions.append((GuestAddress(try reader.get()), try reader.get())) }
    rings = []
    for _ in 0..<(try reader.get(UInt8.self)) { rings.append(Int(try reader.get(UInt16.self))) }
    connectors = []
    for _ in 0..<(try reader.get(UInt8.self)) { connectors.append(try reader.getString()) }
    extraDescriptors = Int(try reader.get(UInt32.self))
    extraMemory = try reader.get()
    program = try reader.getBytes()
    connectorProgram = try reader.getBytes()
    blueprint = try reader.getBytes()
  }
}

/// The descriptors that go with a specification, in their order.
struct DeviceDescriptors {
  /// Requests, answers and needs: see `DeviceRequest`.
  let requests: DescriptorBox
  /// See `DeviceEvent`.
  let events: DescriptorBox
  /// The guest's memory.
  let memory: DescriptorBox
  /// The events of the interrupt line: to raise it, and to hear of its acknowledgement.
  let line: (trigger: DescriptorBox, resample: DescriptorBox)
  /// Those of the blueprint.
  let device: [DescriptorBox]

  init(_ descriptors: [DescriptorBox]) throws(MalformedBytes) {
    guard descriptors.count >= 5 else { throw MalformedBytes("descriptors are missing") }
    requests = descriptors[0]
    events = descriptors[1]
    memory = descriptors[2]
    line = (descriptors[3], descriptors[4])
    device = Array(descriptors[5...])
  }
}
