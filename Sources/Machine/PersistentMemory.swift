internal import BasicDevices
internal import Boot
internal import Bus
internal import Logging
internal import Platform

/// An image in the guest's memory: where it is, and the mapping that KVM reads and writes.
struct PersistentMemory {
  let image: PmemImage
  /// The guest-physical addresses.
  let addresses: Range<UInt64>
  /// Kept as long as the guest runs. Only KVM touches it: see `PmemImage.map`.
  let mapping: MemoryMapping

  /// A KVM memory slot has fewer than 2^31 pages; guest RAM keeps to the same bound.
  private static let largest: UInt64 = 4 << 40

  /// Opens the images that a configuration names.
  static func open(_ configurations: [PmemConfiguration]) throws -> [PmemImage] {
    try configurations.map { configuration in
      let image = try PmemImage(configuration)
      guard image.guestSize <= largest else { throw refusal(image, "has \(image.size) bytes, and at most 4 TiB are possible") }
      return image
    }
  }

  /// Lays out a machine with RAM and images.
  ///
  /// - Throws: `MachineError` for an image that does not fit, `BootError` otherwise.
  static func addressMap(ramSize: UInt64, _ images: [PmemImage], physicalAddressBits: Int) throws -> X86AddressMap {
    do throws(BootError) {
      return try X86AddressMap(ramSize: ramSize, persistentMemory: images.map(\.guestSize), physicalAddressBits: physicalAddressBits)
    } catch {
      guard case .addressMap(.noRoomForPersistentMemory(let index, let limit)) = error, images.indices.contains(index) else { throw error }
      throw refusal(
        images[index],
        "has \(images[index].size) bytes and does not fit, beside RAM, PCI windows and other images, into the \(limit >> 30) GiB that this host's"
          + " processor can address")
    }
  }

  private static func refusal(_ image: PmemImage, _ reason: String) -> MachineError {
    .cannotStart("the persistent memory image \(image.configuration.path.debugDescription) \(reason); make it a disk (--block)")
  }

  /// Maps images at the places that an address map gave them.
  ///
  /// - Parameter logger: What is told, of the device of a name, what the user should know of its image.
  static func map(_ images: [PmemImage], _ map: X86AddressMap, logger: (String) -> Logger) throws(SystemError) -> [PersistentMemory] {
    var memories: [PersistentMemory] = []
    for (image, addresses) in zip(images, map.persistentMemory) {
      let name = name(memories.count)
      for warning in image.warnings { logger(name).warning("\(name): \(warning)") }
      memories.append(PersistentMemory(image: image, addresses: addresses, mapping: try image.map()))
    }
    return memories
  }

  /// The device's name in messages: the number is that of the guest's `/dev/pmem0`.
  static func name(_ index: Int) -> String { "pmem\(index)" }

  /// Where the image is on either side.
  var slot: MemorySlots.Extra {
    unsafe MemorySlots.Extra(
      hostAddress: UInt64(UInt(bitPattern: mapping.base)), address: addresses.lowerBound, size: UInt64(mapping.count),
      isReadOnly: image.configuration.isReadOnly)
  }
}

/// Takes the stores of a guest to memory that it may only read: they change nothing, and the first is told of.
final class ReadOnlyMemory: BusDevice {
  private let name: String
  private let logger: Logger
  private let stores = FailureCount()

  init(name: String, logger: Logger) {
    self.name = name
    self.logger = logger
  }

  /// Loads do not come here: the kernel answers them.
  func read(offset: UInt64, width: Int) -> UInt64 { Self.allOnes }

  func write(offset: UInt64, width: Int, value: UInt64) {
    guard stores.isWorthALine(), stores.count == 1 else { return }
    logger.warning("\(name): the guest writes to read-only persistent memory; nothing of it is kept")
  }
}
