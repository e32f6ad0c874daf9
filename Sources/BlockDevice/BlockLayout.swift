public import DiskImage

/// Where the fields of the configuration space are (virtio 1.2, section 5.2.4), in bytes.
enum BlockLayout {
  static let capacity = 0
  static let segmentMaximum = 12
  static let blockSize = 20
  static let physicalBlockExponent = 24
  static let minimumIO = 26
  static let writeback: UInt64 = 32
  static let queueCount = 34
  static let discardSectors = 36
  static let discardRanges = 40
  static let discardAlignment = 44
  static let writeZeroesSectors = 48
  static let writeZeroesRanges = 52
  static let writeZeroesMayUnmap = 56
  static let size = 60

  /// The most buffers of a request's data: what a channel takes, less header and status where they share buffers with the data.
  static let segmentLimit = 254

  /// The first byte of a saved state.
  static let stateVersion: UInt8 = 1
}

/// Why a disk of the guest cannot be made or restored.
public enum BlockDeviceError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The image takes larger blocks only.
  case smallBlocks(String, Int)
  /// A saved state does not belong to this disk.
  case badState(String)

  /// One line: what is wrong, with the value, and what to do.
  public var description: String {
    switch self {
    case .smallBlocks(let path, let size): "disk image \(path) takes direct I/O in blocks of \(size) bytes; give block-size=\(size)"
    case .badState(let reason): "the saved state of a disk cannot be used: \(reason)"
    }
  }
}

extension BlockConfiguration {
  /// How the image is opened.
  public var imageOptions: ImageFiles.Options {
    var options = ImageFiles.Options()
    options.format = format
    options.allowsBacking = allowsBacking
    options.isEphemeral = isEphemeral
    options.isReadOnly = isReadOnly
    options.isDirect = isDirect
    options.isLocked = isLocked
    options.isSparse = isSparse
    options.cacheSize = cacheSize
    return options
  }
}
