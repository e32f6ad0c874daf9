import Glibc

/// Writes whole texts to the standard streams.
enum StandardStreams {
  /// Writes to the standard output.
  ///
  /// - Returns: Whether all of it was written.
  static func print(_ text: String) -> Bool {
    write(text, to: STDOUT_FILENO)
  }

  /// Writes one line to the standard error.
  static func complain(_ line: String) {
    _ = write(line + "\n", to: STDERR_FILENO)
  }

  private static func write(_ text: String, to descriptor: Int32) -> Bool {
    let bytes = Array(text.utf8)
    var done = 0
    while done < bytes.count {
      let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress?.advanced(by: done), bytes.count - done) }
      if count > 0 {
        done += count
      } else if count == 0 || errno != EINTR {
        return false
      }
    }
    return true
  }
}
