internal import CLinux
internal import Glibc
internal import Platform

/// A file in the making, which has its name only when it is complete: whatever happens before, nothing is left behind, and no file that was
/// there is touched.
public struct NewFile: ~Copyable {
  /// The name that it will have.
  public let path: String
  private let descriptor: OwnedDescriptor
  /// The name that it has meanwhile, where the file system has no files without one.
  private var temporary: String?

  /// Begins a file.
  ///
  /// - Parameter mayBeNameless: Whether the file system is asked for a file without a name. Where it has none, or without this, the file is
  ///   beside its place until it is complete, and an end by a signal leaves it there.
  /// - Throws: `DiskError.exists` when there is something with that name; `missing` without a folder to hold it.
  public init(path: String, mayBeNameless: Bool = true) throws(DiskError) {
    self.path = path
    var status = stat()
    if unsafe lstat(path, &status) == 0 { throw .exists(path) }
    do throws(SystemError) {
      if mayBeNameless, let nameless = try NewFile.nameless(besides: path) {
        descriptor = nameless
      } else {
        let name = "\(path).\(getpid()).part"
        descriptor = try OwnedDescriptor.open(name, flags: O_RDWR | O_CREAT | O_EXCL, mode: 0o666)
        temporary = name
      }
    } catch { throw .cannotCreate(path, error) }
  }

  /// A file without a name in the folder of another; nil where the file system has no such files.
  private static func nameless(besides path: String) throws(SystemError) -> OwnedDescriptor? {
    do throws(SystemError) { return try OwnedDescriptor.open(folderName(of: path), flags: clinux_O_TMPFILE | O_RDWR, mode: 0o666) } catch {
      guard [EOPNOTSUPP, EISDIR, EINVAL, ENOSYS].contains(error.code) else { throw error }
      return nil
    }
  }

  /// The file, lent.
  public var number: Int32 { descriptor.number }

  /// Gives the file its name. It is not put on stable storage by that.
  public consuming func keep() throws(DiskError) {
    let code = temporary.map { NewFile.rename($0, path) } ?? link(descriptor.number)
    guard code == 0 else { throw code == EEXIST ? .exists(path) : .cannotCreate(path, SystemError("name", code: code)) }
    temporary = nil
  }

  private func link(_ number: Int32) -> Int32 {
    unsafe linkat(AT_FDCWD, "/proc/self/fd/\(number)", AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0 ? 0 : errno
  }

  /// Gives a file another name, unless something has that name; returns zero or an `errno`.
  private static func rename(_ old: String, _ new: String) -> Int32 {
    if unsafe Glibc.link(old, new) == 0 { return unsafe unlink(old) == 0 ? 0 : errno }
    // Not every file system lets a file have two names.
    guard errno == EPERM || errno == EOPNOTSUPP else { return errno }
    return unsafe clinux_rename_noreplace(old, new) == 0 ? 0 : errno
  }

  deinit { if let temporary { unsafe _ = unlink(temporary) } }
}
