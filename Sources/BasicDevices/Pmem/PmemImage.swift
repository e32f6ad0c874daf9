public import DiskImage
internal import Glibc
public import Platform

/// An image that the guest shall find in its memory: open, and locked where that was asked for.
public final class PmemImage: Sendable {
  /// What the user set.
  public let configuration: PmemConfiguration
  let file: RawImage
  /// The number of bytes of the file or block device when it was opened.
  public let size: UInt64

  /// Linux takes a range for persistent memory only if it is a multiple of this: a section of its memory map, 2 MiB on x86-64.
  public static let granularity: UInt64 = 2 << 20

  /// Opens the image that a configuration names.
  ///
  /// - Throws: `DiskError`, for what is no image, is empty, or is in use.
  public init(_ configuration: PmemConfiguration) throws(DiskError) {
    var options = RawImage.Options()
    options.isReadOnly = configuration.isReadOnly
    options.isLocked = configuration.isLocked
    options.allowsAnySize = true
    self.configuration = configuration
    file = try RawImage(path: configuration.path, options: options)
    size = file.size
  }

  /// The number of bytes that the guest sees: the image's size, rounded up to `granularity`.
  public var guestSize: UInt64 {
    // No overflow: files and devices have less than 2^63 bytes.
    (size + (PmemImage.granularity - 1)) / PmemImage.granularity * PmemImage.granularity
  }

  /// The image's descriptor, lent.
  public var descriptor: Int32 { file.number }

  /// The number of bytes of the file or block device now; `nil` where the kernel does not tell.
  public var presentSize: UInt64? {
    // Nobody uses the position that this moves.
    let end = lseek(file.number, 0, SEEK_END)
    return end < 0 ? nil : UInt64(end)
  }

  /// What the user should know of an image before it is used: what may be lost, or go wrong.
  public var warnings: [String] {
    let name = "the image \(configuration.path.debugDescription)"
    // A guest may have written such bytes itself, so it is no reason to refuse.
    if let container = try? ImageFiles.containerName(of: file) {
      return [
        "\(name) looks like \(container), and the guest sees the bytes of that file, not of the disk in it; make a raw image of it with"
          + " crosvm disk convert, or give it to --block"
      ]
    }
    guard !configuration.isReadOnly else { return [] }
    var warnings: [String] = []
    if guestSize > size {
      warnings.append(
        "\(name) has \(size) bytes, and the guest sees \(guestSize): what it writes beyond the image's end is lost; extend it with"
          + " truncate -s \(guestSize)")
    }
    if let (holes, room) = holesAndRoom, holes > room {
      warnings.append(
        "\(name) has \(holes >> 20) MiB of holes, and its file system \(room >> 20) MiB of room: a guest that fills it may hang; give it"
          + " its room with fallocate -l \(size)")
    }
    return warnings
  }

  /// How many bytes of the file take no room yet, and how many its file system has; `nil` for a block device.
  private var holesAndRoom: (holes: UInt64, room: UInt64)? {
    var status = stat()
    var system = statvfs()
    guard unsafe fstat(file.number, &status) == 0, status.st_mode & S_IFMT == S_IFREG, unsafe fstatvfs(file.number, &system) == 0 else {
      return nil
    }
    let taken = UInt64(clamping: status.st_blocks).multipliedReportingOverflow(by: 512)
    let room = UInt64(system.f_bavail).multipliedReportingOverflow(by: UInt64(system.f_frsize))
    return (size - min(size, taken.overflow ? .max : taken.partialValue), room.overflow ? .max : room.partialValue)
  }

  /// Maps the image and, after its end, zeroed memory that is nobody's file: `guestSize` bytes in all, read-only where the image is.
  ///
  /// Nobody but KVM may touch the mapping. Where the image is made shorter later, or the host cannot read it or has no room for what
  /// is written to a hole, an access of this process would end it; one of KVM is an error of KVM_RUN (EFAULT), or is tried for ever.
  public func map() throws(SystemError) -> MemoryMapping {
    guard let size = Int(exactly: size), let guestSize = Int(exactly: guestSize) else {
      throw SystemError("map the image \(configuration.path.debugDescription)", code: ENOMEM)
    }
    return try MemoryMapping.map(descriptor: file.number, fileBytes: size, count: guestSize, isWritable: !configuration.isReadOnly)
  }
}
