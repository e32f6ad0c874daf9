internal import CLinux
internal import Glibc
internal import Platform

/// A file in the making, which has its name only when it is complete: whatever happens before, nothing is left behind, and no file that was
/// there is touched.
public struct NewFile: ~Copyable {
  /// The name that it will have.
  public let path: String
  private let descriptor: OwnedDescriptor
  /// Where the file system has no files without a name, it has its name from the start, until it is given up.
  private var hasName: Bool

  /// Begins a file.
  ///
  /// - Throws: `DiskError.exists` when there is something with that name; `missing` without a folder to hold it.
  public init(path: String) throws(DiskError) {
    self.path = path
    var status = stat()
    if unsafe lstat(path, &status) == 0 { throw .exists(path) }
    let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    do throws(SystemError) {
      descriptor = try OwnedDescriptor.open(folder, flags: clinux_O_TMPFILE | O_RDWR, mode: 0o666)
      hasName = false
    } catch {
      switch error.code {
      case EOPNOTSUPP, EISDIR, EINVAL, ENOSYS:
        do { descriptor = try OwnedDescriptor.open(path, flags: O_RDWR | O_CREAT | O_EXCL, mode: 0o666) } catch {
          throw .cannotCreate(path, error)
        }
        hasName = true
      default: throw .cannotCreate(path, error)
      }
    }
  }

  /// The file, lent.
  public var number: Int32 { descriptor.number }

  /// Gives the file its name. It is not put on stable storage by that.
  public consuming func keep() throws(DiskError) {
    if hasName {
      hasName = false
      return
    }
    let source = "/proc/self/fd/\(descriptor.number)"
    guard unsafe linkat(AT_FDCWD, source, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0 else {
      throw errno == EEXIST ? .exists(path) : .cannotCreate(path, .last("name"))
    }
  }

  deinit { if hasName { unsafe _ = unlink(path) } }
}
