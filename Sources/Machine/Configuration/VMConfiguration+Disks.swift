internal import BlockDevice

extension VMConfiguration {
  /// How many disks have a device letter: `/dev/vda` to `/dev/vdz`.
  public static let diskLetterLimit = 26

  /// The name of a disk in a Linux guest, such as `/dev/vda`; `nil` after the 26th.
  ///
  /// - Parameter index: The disk's place in `disks`.
  public static func diskName(_ index: Int) -> String? {
    guard (0..<diskLetterLimit).contains(index) else { return nil }
    return "/dev/vd" + String(UnicodeScalar(UInt8(ascii: "a") + UInt8(index)))
  }

  func validateDisks() throws(ConfigurationError) {
    for disk in disks {
      do {
        try disk.validate()
      } catch {
        throw .disk(path: disk.path, error)
      }
    }
    try validateRootDisk()
    try validateDiskFiles()
  }

  private func validateRootDisk() throws(ConfigurationError) {
    let roots = disks.indices.filter { disks[$0].isRoot }
    guard let root = roots.first else { return }
    guard roots.count == 1 else { throw .twoRootDisks(disks[root].path, disks[roots[1]].path) }
    guard VMConfiguration.diskName(root) != nil else { throw .rootDiskPosition(path: disks[root].path, index: root) }
  }

  private func validateDiskFiles() throws(ConfigurationError) {
    var seen: [PathCheck.Identity: BlockConfiguration] = [:]
    for disk in disks {
      let identity = try PathCheck.diskImage(disk.path, isReadOnly: disk.isReadOnly)
      guard disk.isLocked else { continue }
      if let other = seen[identity], !(other.isReadOnly && disk.isReadOnly) {
        throw .diskUsedTwice(other.path, disk.path)
      }
      seen[identity] = disk
    }
  }
}
