import Glibc

/// Writes whole texts to the standard streams.
enum StandardStreams {
  /// Puts something harmless where the caller closed a standard stream.
  ///
  /// Else what is opened later takes its number: the guest's output would go into an event of ours, messages into a file of the user's, and
  /// what reads the standard input would take signals away. What is put there is not open for writing, so that lost output is noticed.
  static func occupyClosed() {
    for stream in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] where fcntl(stream, F_GETFD) < 0 {
      // The lowest free number, which is this one.
      _ = unsafe open("/dev/null", O_RDONLY)
    }
  }

  /// Writes to the standard output.
  ///
  /// - Returns: Whether all of it was written.
  static func print(_ text: String) -> Bool {
    write(text, to: STDOUT_FILENO)
  }

  /// Writes one line to the standard error, whatever the names of files in it are.
  static func complain(_ line: String) {
    _ = write(LogSink.oneLine(line) + "\n", to: STDERR_FILENO)
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
