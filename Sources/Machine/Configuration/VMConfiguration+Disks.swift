internal import BasicDevices
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
    let roots = disks.filter(\.isRoot).map(\.path) + persistentMemory.filter(\.isRoot).map(\.path)
    guard roots.count <= 1 else { throw .twoRootDisks(roots[0], roots[1]) }
    guard let root = disks.firstIndex(where: \.isRoot) else { return }
    guard VMConfiguration.diskName(root) != nil else { throw .rootDiskPosition(path: disks[root].path, index: root) }
  }

  private func validateDiskFiles() throws(ConfigurationError) {
    var seen: [PathCheck.Identity: (path: String, isReadOnly: Bool)] = [:]
    for image in try lockedImages() {
      if let other = seen[image.identity], !(other.isReadOnly && image.isReadOnly) {
        throw .diskUsedTwice(other.path, image.path)
      }
      seen[image.identity] = (image.path, image.isReadOnly)
    }
  }
}
