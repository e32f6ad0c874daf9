import Glibc

/// A directory with files to name in a configuration, gone when its owner goes.
final class TemporaryDirectory {
  let path: String
  private var files: [String] = []

  init() {
    let template = "/tmp/crosvm-configuration-XXXXXX"
    var bytes = Array(template.utf8CString)
    path = unsafe bytes.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress, let made = unsafe mkdtemp(base) else { return "/nonexistent" }
      return unsafe String(cString: made)
    }
  }

  /// Makes a file of 512 zeros with the given permissions and says its path.
  func file(_ name: String, mode: mode_t = 0o600) -> String {
    let file = path + "/" + name
    let descriptor = unsafe open(file, O_CREAT | O_WRONLY | O_CLOEXEC, mode)
    _ = ftruncate(descriptor, 512)
    close(descriptor)
    files.append(file)
    return file
  }

  deinit {
    for file in files { _ = unsafe unlink(file) }
    _ = unsafe rmdir(path)
  }
}
