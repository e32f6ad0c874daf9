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
  /// The disk would become smaller, which loses what is there, and nobody said that it shall.
  case shrinks(String, from: UInt64, to: UInt64)
  /// The qcow2 image is not one that can be used.
  case qcow2(String, Qcow2Problem)
  /// The image's backing file is not used.
  case backing(String, BackingProblem)
  /// A part of the composite image is not used.
  case part(String, BackingProblem)
  /// The image has a format that cannot be used.
  case unsound(String, String)
  /// The file looks like a format that is not supported, and the user did not say that it is a raw disk.
  case foreign(String, ForeignFormat)
  /// The file is a composite image, and the user did not say so.
  case unnamedComposite(String)
  /// Anything else that the kernel said.
  case system(SystemError)
}
