internal import CLinux
internal import Glibc
internal import Platform

/// Why a backing file is not used.
public enum BackingProblem: Error, Equatable, Sendable, CustomStringConvertible {
  /// The user has not allowed that names in the image are followed.
  case notAllowed(String)
  /// The name is a path that begins at the root.
  case absolute(String)
  /// The name leaves the folder of the image, by `..` or by a symbolic link.
  case outside(String)
  /// The name is a protocol's, such as `json:` or `nbd://`.
  case protocolName(String)
  /// The image was given as a descriptor, so that its folder is not known.
  case noFolder(String)
  /// The image does not say what format its backing file has.
  case noFormat(String)
  /// The image names a format that is none of raw and qcow2.
  case format(String, String)
  /// A file is its own backing file, by way of others perhaps.
  case cycle(String)
  /// There are more than this many backing files.
  case depth(Int)
  /// There is no such file.
  case missing(String)
  /// The file was not handed over.
  case absent(String)

  /// What is wrong, with the name, and what to do.
  public var description: String { text(for: .option) }

  /// The same, for a user, and of a file that the image is made of: its backing file, or another.
  func text(for user: DiskUser, of part: String = "backing file") -> String {
    switch self {
    case .notAllowed(let name):
      "it has the \(part) \(name.debugDescription), which is not opened unless you say so; \(user.backingRemedy)"
    case .absolute(let name):
      "its \(part) \(name.debugDescription) is an absolute path; give a name within the image's folder (qemu-img rebase -u -F FORMAT -b NAME)"
    case .outside(let name): "its \(part) \(name.debugDescription) is not within the image's folder; move it there"
    case .protocolName(let name): "its \(part) \(name.debugDescription) is not the name of a file; only files are supported"
    case .noFolder(let name):
      "its \(part) \(name.debugDescription) cannot be found, because the image was given as a descriptor; give its path"
    case .noFormat(let name):
      "it does not say which format its \(part) \(name.debugDescription) has; tell it with qemu-img rebase -u -F FORMAT -b NAME"
    case .format(let name, let format):
      "its \(part) \(name.debugDescription) has the format \(format.debugDescription); raw and qcow2 are supported"
    case .cycle(let name): "its \(part) \(name.debugDescription) is part of the chain already"
    case .depth(let limit): "it has more than \(limit) backing files in a chain; make it shorter with qemu-img rebase or commit"
    case .missing(let name): "its \(part) \(name.debugDescription) does not exist"
    case .absent(let name): "its \(part) \(name.debugDescription) was not opened"
    }
  }
}

/// A name that an image has for its backing file. Here alone it is decided which file that may be: one within the folder of the image that
/// names it, however the name or its symbolic links are made.
struct BackingName {
  let name: String
  let folder: String

  /// - Parameter image: The path of the image that has the name.
  init(_ name: String, of image: String) throws(BackingProblem) {
    // What QEMU takes for a protocol: letters before the first colon, and no slash.
    if let colon = name.firstIndex(of: ":"), !name[..<colon].contains("/") { throw .protocolName(name) }
    guard !name.hasPrefix("/") else { throw .absolute(name) }
    guard !name.split(separator: "/").contains("..") else { throw .outside(name) }
    guard !image.hasPrefix("/proc/self/fd/") else { throw .noFolder(name) }
    self.name = name
    folder = folderName(of: image)
  }

  /// The path for messages, and for the names in that file.
  var path: String { folder == "." ? name : folder == "/" ? "/\(name)" : "\(folder)/\(name)" }

  /// Opens the file. The kernel sees to it that no component leads out of the folder (openat2(2), RESOLVE_BENEATH).
  func open(writing: Bool = false) throws -> OwnedDescriptor {
    let access = writing ? O_RDWR : O_RDONLY
    let directory = try OwnedDescriptor.open(folder, flags: clinux_O_PATH | O_DIRECTORY)
    let number = directory.number
    do throws(SystemError) {
      let file = try retrying("open \(path)") { unsafe Int(clinux_open_beneath(number, name, access | O_NONBLOCK | O_NOCTTY)) }
      let descriptor = OwnedDescriptor(owning: Int32(file))
      let opened = descriptor.number
      // As for other images: not to block was for the sake of pipes.
      try retrying("open \(path)") { Int(clinux_fcntl(opened, F_SETFL, Int(access))) }
      return descriptor
    } catch {
      switch error.code {
      case EXDEV, ELOOP: throw BackingProblem.outside(name)
      case ENOENT, ENOTDIR: throw BackingProblem.missing(name)
      default: throw RawImage.openingError(error, path, writing: writing)
      }
    }
  }
}
