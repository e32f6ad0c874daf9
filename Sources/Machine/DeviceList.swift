internal import BasicDevices
internal import BlockDevice
internal import Logging
internal import NetDevice
internal import Platform
internal import Sandbox
internal import Virtio
internal import VsockDevice

/// A virtio device to be built, with the name that log lines call it by.
struct PlannedDevice {
  let name: String
  let blueprint: any DeviceBlueprint
  var offersPackedRing = false
}

/// Which virtio devices there are. A new device adds its line to each of the two lists.
enum DeviceList {
  /// The kinds of devices, to be built from what came from another process.
  private static let kinds: [any DeviceBlueprint.Type] = [
    BlockBlueprint.self, PmemBlueprint.self, EntropyBlueprint.self, ConsoleBlueprint.self, BalloonBlueprint.self,
    NetBlueprint.self, KernelNetBlueprint.self, UserNetBlueprint.self, VsockBlueprint.self, KernelVsockBlueprint.self,
  ]

  /// What a configuration asks for, opened, in the order of PCI slots.
  ///
  /// - Parameter logger: What is told, of the device of a name, what the user should know of its images or network.
  static func plan(
    _ configuration: VMConfiguration, _ persistentMemory: [PersistentMemory], sockets: VsockSockets?, ports: SerialPorts,
    logger: (String) -> Logger
  ) throws -> [PlannedDevice] {
    var devices: [PlannedDevice] = []
    for (index, disk) in configuration.disks.enumerated() {
      let (name, blueprint) = ("block\(index)", try BlockBlueprint(disk))
      for warning in blueprint.warnings { logger(name).warning("\(name): \(warning)") }
      devices.append(PlannedDevice(name: name, blueprint: blueprint, offersPackedRing: disk.usesPackedQueue))
    }
    for (index, memory) in persistentMemory.enumerated() {
      devices.append(PlannedDevice(name: PersistentMemory.name(index), blueprint: PmemBlueprint(memory.image, at: memory.addresses)))
    }
    if configuration.hasEntropyDevice { devices.append(PlannedDevice(name: "rng", blueprint: EntropyBlueprint())) }
    devices += ports.consoles
    if configuration.hasBalloon { devices.append(PlannedDevice(name: balloonName, blueprint: BalloonBlueprint())) }
    for (index, card) in configuration.networkCards.enumerated() {
      let blueprint = try blueprint(card)
      let name = "\(type(of: blueprint).kind)\(index)"
      for warning in blueprint.warnings { logger(name).warning("\(name): \(warning)") }
      devices.append(PlannedDevice(name: name, blueprint: blueprint, offersPackedRing: card.usesPackedQueue))
    }
    if let vsock = configuration.vsock {
      let blueprint = try blueprint(vsock, sockets)
      devices.append(PlannedDevice(name: type(of: blueprint).kind, blueprint: blueprint))
    }
    return devices
  }

  private static func blueprint(_ vsock: VsockConfiguration, _ sockets: VsockSockets?) throws -> any DeviceBlueprint {
    switch vsock.backend {
    case .kernel(let path): try KernelVsockBlueprint(context: vsock.context, path: path)
    case .socket(let path): try VsockBlueprint(context: vsock.context, sockets: sockets ?? VsockSockets(path: path))
    }
  }

  private static func blueprint(_ card: NetConfiguration) throws -> any NetworkCard {
    if case .user = card.attachment { return try UserNetBlueprint(card) }
    return card.usesKernel ? try KernelNetBlueprint(card) : try NetBlueprint(card)
  }

  /// The memory balloon's name.
  static let balloonName = "balloon"

  /// Builds a device in a process of its own; see `DeviceBuilder`.
  static let build: DeviceBuilder = { kind, reader, descriptors, logger in
    guard let type = kinds.first(where: { $0.kind == kind }) else { throw MalformedBytes("there is no device of the kind \(kind)") }
    return try type.init(from: &reader, descriptors: descriptors).build(logger: logger)
  }
}
