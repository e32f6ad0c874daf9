internal import Platform

/// Who is told what is wrong with an image: the advice is what he can give.
public enum DiskUser: Sendable {
  /// The user of an option that has keys, such as `--block`.
  case option
  /// The user of a command that has options of its own, such as `crosvm disk convert`.
  case command
  /// The user of a program that has neither.
  case program

  /// What follows "end that first".
  fileprivate var sharing: String { self == .option ? ", or give lock=false if both are made to share it" : "" }

  fileprivate var lockRemedy: String { self == .option ? "give lock=false to use it unlocked" : "copy it to another file system" }

  fileprivate var compositeRemedy: String {
    switch self {
    case .option: "give format=composite if you trust the image, or format=raw if it is none"
    case .command: "give --source-format composite if you trust the image, or --source-format raw if it is none"
    case .program: "make one file of it with crosvm disk convert --source-format composite if you trust the image"
    }
  }

  fileprivate var rawRemedy: String {
    switch self {
    case .option: ", or give format=raw if it is a raw disk"
    case .command: ", or give --source-format raw if it is a raw disk"
    case .program: ""
    }
  }

  /// How it is said that backing files may be read.
  var backingRemedy: String {
    switch self {
    case .option: "give format=qcow2,backing=on if you trust the image"
    case .command: "give --source-format qcow2 --backing if you trust the image"
    case .program: "make one file of it with crosvm disk convert --source-format qcow2 --backing if you trust the image"
    }
  }
}

extension DiskError {
  /// What the user of an option is told.
  public var description: String { text(for: .option) }

  /// One line: what is wrong, with the value, and what to do.
  ///
  /// - Parameter user: Who is told, and so what he can do.
  public func text(for user: DiskUser) -> String {
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
      "the disk image \(path.debugDescription) is used by another process or disk; end that first\(user.sharing)"
    case .inUse(let path, false):
      "the disk image \(path.debugDescription) is written by another process or disk; end that first\(user.sharing)"
    case .cannotLock(let path, let error):
      "the disk image \(path.debugDescription) cannot be locked (\(error.reason)); \(user.lockRemedy)"
    case .cannotBypassCache(let path): "the disk image \(path.debugDescription) is on a file system without direct I/O; leave out direct"
    case .badDescriptor(let path, let writing):
      "\(path.debugDescription) is not a descriptor open for \(writing ? "reading and writing" : "reading") in this process"
    case .exists(let path): "\(path.debugDescription) exists already; remove it first, or give another name"
    case .cannotCreate(let path, let error): "the disk image \(path.debugDescription) cannot be made: \(error)"
    case .cannotResize(let path, let reason): "the disk image \(path.debugDescription) cannot be resized: \(reason)"
    case .shrinks(let path, let old, let new):
      "the disk image \(path.debugDescription) has \(old) bytes, and with \(new) what is behind them would be lost; give --shrink if that is meant"
    case .qcow2(let path, let problem): "the disk image \(path.debugDescription) cannot be used: \(problem)"
    case .backing(let path, let problem): "the disk image \(path.debugDescription) cannot be used: \(problem.text(for: user))"
    case .part(let path, let problem): "the disk image \(path.debugDescription) cannot be used: \(problem.text(for: user, of: "part"))"
    case .unsound(let path, let reason): "the disk image \(path.debugDescription) \(reason)"
    case .unnamedComposite(let path):
      "the disk image \(path.debugDescription) is composed of other files, which are not opened unless you say so; \(user.compositeRemedy)"
    case .foreign(let path, let format):
      "the disk image \(path.debugDescription) looks like \(format.rawValue), which is not supported; convert it with qemu-img\(user.rawRemedy)"
    case .system(let error): error.description
    }
  }
}
