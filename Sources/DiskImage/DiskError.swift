public import Platform

/// Why a disk image cannot be used. Each case but the last names the file.
public enum DiskError: Error, Equatable, Sendable, CustomStringConvertible {
  /// There is no such file.
  case missing(String)
  /// The file may not be read, or not be written where that was asked for.
  case refused(String, writing: Bool)
  /// The file is a directory.
  case directory(String)
  /// The file is neither a regular file nor a block device.
  case notADisk(String)
  /// The file holds no byte.
  case empty(String)
  /// The size in bytes is not a multiple of the block size.
  case ragged(String, size: UInt64, blockSize: Int)
  /// Another user holds a lock that excludes this use.
  case inUse(String, writing: Bool)
  /// The file system keeps no locks.
  case cannotLock(String, SystemError)
  /// The file system cannot bypass the page cache.
  case cannotBypassCache(String)
  /// The descriptor named by `/proc/self/fd/N` is not open, or not for what was asked.
  case badDescriptor(String, writing: Bool)
  /// There is a file of that name already.
  case exists(String)
  /// A new image cannot be made.
  case cannotCreate(String, SystemError)
  /// The size cannot be changed; why in words.
  case cannotResize(String, String)
  /// The qcow2 image is not one that can be used.
  case qcow2(String, Qcow2Problem)
  /// The image's backing file is not used.
  case backing(String, BackingProblem)
  /// The image has a format that cannot be used.
  case unsound(String, String)
  /// The file is a composite image, and the user did not say so.
  case unnamedComposite(String)
  /// Anything else that the kernel said.
  case system(SystemError)

  /// One line: what is wrong, with the value, and what to do.
  public var description: String {
    switch self {
    case .missing(let path): "the disk image \(path.debugDescription) does not exist; check the path"
    case .refused(let path, true):
      "the disk image \(path.debugDescription) may not be written by this user; change its permissions or open it read-only"
    case .refused(let path, false): "the disk image \(path.debugDescription) may not be read by this user; change its permissions"
    case .directory(let path): "the disk image \(path.debugDescription) is a directory; give the path of a file"
    case .notADisk(let path): "the disk image \(path.debugDescription) is neither a regular file nor a block device; give one of them"
    case .empty(let path): "the disk image \(path.debugDescription) is empty; give it a size, as with truncate -s 1G"
    case .ragged(let path, let size, let blockSize):
      "the disk image \(path.debugDescription) has \(size) bytes, which is not a multiple of \(blockSize); extend it to "
        + "\((size / UInt64(blockSize) + 1) * UInt64(blockSize)) bytes"
    case .inUse(let path, true):
      "the disk image \(path.debugDescription) is used by another process or disk; end that first, or give lock=false if both are made to share it"
    case .inUse(let path, false):
      "the disk image \(path.debugDescription) is written by another process or disk; end that first, or give lock=false if both are made to share it"
    case .cannotLock(let path, let error):
      "the disk image \(path.debugDescription) cannot be locked (\(error.reason)); give lock=false to use it unlocked"
    case .cannotBypassCache(let path): "the disk image \(path.debugDescription) is on a file system without direct I/O; leave out direct"
    case .badDescriptor(let path, let writing):
      "\(path.debugDescription) is not a descriptor open for \(writing ? "reading and writing" : "reading") in this process"
    case .exists(let path): "\(path.debugDescription) exists already; remove it first, or give another name"
    case .cannotCreate(let path, let error): "the disk image \(path.debugDescription) cannot be made: \(error)"
    case .cannotResize(let path, let reason): "the disk image \(path.debugDescription) cannot be resized: \(reason)"
    case .qcow2(let path, let problem): "the disk image \(path.debugDescription) cannot be used: \(problem)"
    case .backing(let path, let problem): "the disk image \(path.debugDescription) cannot be used: \(problem)"
    case .unsound(let path, let reason): "the disk image \(path.debugDescription) \(reason)"
    case .unnamedComposite(let path):
      "the disk image \(path.debugDescription) is composed of other files, which are not opened unless you say so; give format=composite if you "
        + "trust the image, or format=raw if it is none"
    case .system(let error): error.description
    }
  }
}
