internal import CLinux
internal import Glibc
internal import Platform

/// Policies in files.
enum PolicyFile {
  /// The text of a file; what is not UTF-8 in it becomes the replacement character, which no policy has.
  ///
  /// - Throws: `SystemError`; EFBIG for a file that is longer than any policy, EINVAL for one that is no regular file.
  static func read(_ path: String) throws(SystemError) -> String {
    // Not blocking, for the sake of a named pipe, which is refused.
    let file = try OwnedDescriptor.open(path, flags: O_RDONLY | O_NONBLOCK)
    var status = stat()
    guard unsafe fstat(file.number, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      throw SystemError("read the policy \(path), which is no regular file", code: EINVAL)
    }
    return String(decoding: try bytes(of: file.number, upTo: PolicyLexer.longest, path: path), as: UTF8.self)
  }

  /// All bytes of a file, from where its descriptor stands.
  static func bytes(of descriptor: Int32, upTo limit: Int, path: String) throws(SystemError) -> [UInt8] {
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 16 << 10)
    while true {
      let count = try retrying("read \(path)") { unsafe Glibc.read(descriptor, &part, part.count) }
      if count == 0 { return bytes }
      bytes += part.prefix(count)
      guard bytes.count <= limit else { throw SystemError("read \(path)", code: EFBIG) }
    }
  }
}
