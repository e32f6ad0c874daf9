internal import CLinux
internal import Glibc
internal import Platform

/// Which file a descriptor is open for, whatever its name: the same for all descriptors of a file, or of a block device.
struct FileIdentity: Equatable {
  private let device: UInt64
  private let node: UInt64

  /// - Parameter path: For messages.
  init(_ number: Int32, _ path: String) throws(SystemError) {
    var status = stat()
    try retrying("examine \(path)") { unsafe Int(fstat(number, &status)) }
    // A block device may have several names, each a file of its own.
    let isDevice = status.st_mode & S_IFMT == S_IFBLK
    device = isDevice ? UInt64.max : UInt64(status.st_dev)
    node = isDevice ? UInt64(status.st_rdev) : UInt64(status.st_ino)
  }
}
