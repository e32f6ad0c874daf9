public import Platform

/// Why a file cannot be read as a boot image, whatever it is meant to hold.
public enum FileProblem: Error, Equatable, Sendable, CustomStringConvertible {
  /// It has no bytes.
  case empty
  /// It is a directory.
  case directory
  /// It is a pipe, a socket or a device, which cannot be read at any offset.
  case notRegular
  /// It became shorter while it was being read.
  case shrank
  /// The kernel refused to read it.
  case system(SystemError)

  /// The message for the user.
  public var description: String {
    switch self {
    case .empty: "is empty; copy it again"
    case .directory: "is a directory; give a file"
    case .notRegular: "is not a regular file; copy it into one first"
    case .shrank: "became shorter while it was read; start again when nobody writes it"
    case .system(let error): "cannot be read: \(error)"
    }
  }
}

/// Why the initial file system cannot be used.
public enum InitramfsProblem: Error, Equatable, Sendable, CustomStringConvertible {
  /// The file cannot be read.
  case file(FileProblem)
  /// It does not fit between the kernel and the highest address that the kernel accepts.
  case tooLarge(bytes: UInt64, space: UInt64, ram: UInt64)

  /// The message for the user.
  public var description: String {
    switch self {
    case .file(let problem): problem.description
    case .tooLarge(let bytes, let space, let ram):
      "is \(bytes) bytes, and of the guest's \(ram) bytes of RAM \(space) are free for it; give the guest more memory"
    }
  }
}

/// Why a firmware image cannot be used.
public enum FirmwareProblem: Error, Equatable, Sendable, CustomStringConvertible {
  /// The file cannot be read.
  case file(FileProblem)
  /// Its size is not a multiple of 4096 between 64 KiB and 16 MiB.
  case badSize(UInt64)

  /// The message for the user.
  public var description: String {
    switch self {
    case .file(let problem): problem.description
    case .badSize(let size): "is \(size) bytes; a BIOS image has 65536 to 16777216 bytes (64 KiB to 16 MiB), a multiple of 4096"
    }
  }
}
