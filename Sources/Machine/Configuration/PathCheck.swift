internal import Glibc
internal import Platform

/// Looks at files that a configuration names, so that what is wrong is said before anything is built.
///
/// What opens a file later checks again: the file may have changed in between. This is for good messages, not for safety.
enum PathCheck {
  typealias Problem = ConfigurationError.FileProblem

  /// Identifies a file whatever path leads to it.
  struct Identity: Hashable {
    let device: UInt64
    let node: UInt64

    init(_ status: stat) {
      device = UInt64(status.st_dev)
      node = UInt64(status.st_ino)
    }
  }

  /// A regular file that can be read.
  static func readableFile(_ path: String, as role: ConfigurationError.FileRole) throws(ConfigurationError) {
    let status = try status(of: path, as: role)
    try refuseDirectory(status, path, role)
    guard status.st_mode & S_IFMT == S_IFREG else { throw .file(role, path: path, .unsuitable) }
    guard isAccessible(path, R_OK) else { throw .file(role, path: path, .unreadable) }
  }

  /// A regular file or block device that can be read and, unless it is to be read only, written.
  static func image(_ path: String, as role: ConfigurationError.FileRole, isReadOnly: Bool) throws(ConfigurationError) -> Identity {
    let status = try status(of: path, as: role)
    try refuseDirectory(status, path, role)
    let kind = status.st_mode & S_IFMT
    guard kind == S_IFREG || kind == S_IFBLK else { throw .file(role, path: path, .unsuitable) }
    guard isAccessible(path, R_OK) else { throw .file(role, path: path, .unreadable) }
    guard isReadOnly || isAccessible(path, W_OK) else { throw .file(role, path: path, .unwritable) }
    return Identity(status)
  }

  /// A file that can be written, or one that can be created in an existing directory.
  static func outputFile(_ path: String, as role: ConfigurationError.FileRole) throws(ConfigurationError) {
    guard !path.isEmpty else { throw .file(role, path: path, .emptyPath) }
    switch lookUp(path) {
    case .success(let status):
      try refuseDirectory(status, path, role)
      guard isAccessible(path, W_OK) else { throw .file(role, path: path, .unwritable) }
    case .failure(.missing): try newFile(path, as: role)
    case .failure(let problem):
      throw .file(role, path: path, problem)
    }
  }

  /// A place for a socket, in an existing directory; what is there already is looked at when the socket is made.
  static func socket(_ path: String, as role: ConfigurationError.FileRole) throws(ConfigurationError) {
    if case .failure(.missing) = lookUp(path) { try newFile(path, as: role) }
  }

  /// A file that can be created in an existing directory.
  private static func newFile(_ path: String, as role: ConfigurationError.FileRole) throws(ConfigurationError) {
    let directory = folderName(of: path)
    guard case .success(let parent) = lookUp(directory), parent.st_mode & S_IFMT == S_IFDIR else {
      throw .file(role, path: path, .missingDirectory)
    }
    guard isAccessible(directory, W_OK | X_OK) else { throw .file(role, path: path, .unwritable) }
  }

  /// What a path leads to; nil where that is nothing.
  static func identity(_ path: String) -> Identity? {
    guard case .success(let status) = lookUp(path) else { return nil }
    return Identity(status)
  }

  private static func status(of path: String, as role: ConfigurationError.FileRole) throws(ConfigurationError) -> stat {
    guard !path.isEmpty else { throw .file(role, path: path, .emptyPath) }
    switch lookUp(path) {
    case .success(let status): return status
    case .failure(let problem): throw .file(role, path: path, problem)
    }
  }

  private static func lookUp(_ path: String) -> Result<stat, Problem> {
    var status = stat()
    guard unsafe stat(path, &status) != 0 else { return .success(status) }
    switch errno {
    case ENOENT: return .failure(.missing)
    case EACCES: return .failure(.unreadable)
    case let number: return .failure(.unreachable(errno: number))
    }
  }

  private static func refuseDirectory(
    _ status: stat, _ path: String, _ role: ConfigurationError.FileRole
  ) throws(ConfigurationError) {
    guard status.st_mode & S_IFMT != S_IFDIR else { throw .file(role, path: path, .directory) }
  }

  /// Asks with the effective identity, which is the one that opens.
  private static func isAccessible(_ path: String, _ mode: Int32) -> Bool {
    unsafe faccessat(AT_FDCWD, path, mode, AT_EACCESS) == 0
  }
}

/// The system's words for an error number.
func systemErrorText(_ number: Int32) -> String {
  guard let text = unsafe strerror(number) else { return "error \(number)" }
  return unsafe String(cString: text)
}
