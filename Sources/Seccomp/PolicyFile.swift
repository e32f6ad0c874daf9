internal import CLinux
internal import Glibc
internal import Platform

/// Policies in files.
enum PolicyFile {
  /// The text of a file; what is not UTF-8 in it becomes the replacement character, which no policy has.
  ///
  /// - Throws: `SystemError`; EFBIG for a file that is longer than any policy.
  static func read(_ path: String) throws(SystemError) -> String {
    let file = try OwnedDescriptor.open(path, flags: O_RDONLY)
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
