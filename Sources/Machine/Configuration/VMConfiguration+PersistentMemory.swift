internal import BasicDevices
internal import BlockDevice

extension VMConfiguration {
  /// The name of a persistent memory device in a Linux guest, such as `/dev/pmem0`.
  ///
  /// - Parameter index: The device's place in `persistentMemory`.
  public static func persistentMemoryName(_ index: Int) -> String { "/dev/pmem\(index)" }

  /// What the guest's kernel mounts as its root file system: the device's name, and whether it is only read.
  var rootDevice: (name: String, isReadOnly: Bool)? {
    if let index = disks.firstIndex(where: \.isRoot) {
      return VMConfiguration.diskName(index).map { ($0, disks[index].isReadOnly) }
    }
    return persistentMemory.firstIndex(where: \.isRoot).map { (VMConfiguration.persistentMemoryName($0), persistentMemory[$0].isReadOnly) }
  }

  /// The images of disks and persistent memory that are locked, and whether they are only read.
  ///
  /// - Throws: When one of them, locked or not, cannot be used.
  func lockedImages() throws(ConfigurationError) -> [(path: String, isReadOnly: Bool, identity: PathCheck.Identity)] {
    var images: [(path: String, isReadOnly: Bool, identity: PathCheck.Identity)] = []
    for disk in disks {
      let isReadOnly = disk.isReadOnly || disk.isEphemeral
      let identity = try PathCheck.image(disk.path, as: .disk, isReadOnly: isReadOnly)
      if disk.isLocked { images.append((disk.path, isReadOnly, identity)) }
    }
    for memory in persistentMemory {
      let identity = try PathCheck.image(memory.path, as: .persistentMemory, isReadOnly: memory.isReadOnly)
      if memory.isLocked { images.append((memory.path, memory.isReadOnly, identity)) }
    }
    return images
  }
}
