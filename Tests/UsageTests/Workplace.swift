import Glibc

/// A directory of its own for one test, in which commands run; it goes with its files.
final class Workplace {
  let path: String

  init() {
    var template = Array("/tmp/crosvm-usage-XXXXXX".utf8CString)
    path = unsafe template.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress, let made = unsafe mkdtemp(base) else { return "/nonexistent" }
      return unsafe String(cString: made)
    }
    // For commands that run as another user.
    unsafe chmod(path, 0o755)
  }

  deinit {
    for name in names {
      if unsafe unlink(path + "/" + name) != 0 { unsafe rmdir(path + "/" + name) }
    }
    unsafe rmdir(path)
  }

  /// What is in it, sorted.
  var names: [String] { (Workplace.names(in: path) ?? []).sorted() }

  /// What is in a directory; nil where it cannot be read.
  static func names(in path: String) -> [String]? {
    guard let directory = unsafe opendir(path) else { return nil }
    defer { unsafe closedir(directory) }
    var names: [String] = []
    while let entry = unsafe readdir(directory) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  /// Makes a file.
  func write(_ name: String, _ bytes: [UInt8], mode: mode_t = 0o644) {
    let file = unsafe open(path + "/" + name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
    unsafe _ = Glibc.write(file, bytes, bytes.count)
    close(file)
  }

  /// Makes a file of zeros that takes no room.
  func writeZeros(_ name: String, count: Int) {
    let file = unsafe open(path + "/" + name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    _ = ftruncate(file, count)
    close(file)
  }

  /// The last byte of a file.
  func readEnd(_ name: String) -> UInt8? {
    let file = unsafe open(path + "/" + name, O_RDONLY | O_CLOEXEC)
    defer { close(file) }
    var byte: UInt8 = 0
    let end = lseek(file, 0, SEEK_END)
    return unsafe end > 0 && pread(file, &byte, 1, end - 1) == 1 ? byte : nil
  }

  /// The first 64 KiB of a file.
  func read(_ name: String) -> [UInt8] {
    let file = unsafe open(path + "/" + name, O_RDONLY | O_CLOEXEC)
    defer { close(file) }
    return contents(file)
  }
}

/// The first 64 KiB of an open file.
func contents(_ file: Int32) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: 64 << 10)
  let count = unsafe pread(file, &bytes, bytes.count, 0)
  return Array(bytes.prefix(max(count, 0)))
}
