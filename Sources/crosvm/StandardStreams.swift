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

  /// A reader that goes away makes a write fail, and does not end the process: the guest decides when something is logged.
  static func outliveReaders() { _ = signal(SIGPIPE, SIG_IGN) }

  /// A write to a file that may not become larger (RLIMIT_FSIZE, setrlimit(2)) is an error, and does not end the process: the guest decides
  /// when a disk's image grows.
  static func outliveFullFiles() { _ = signal(SIGXFSZ, SIG_IGN) }

  /// Writes to the standard output.
  ///
  /// - Returns: Whether all of it was written.
  static func print(_ text: String) -> Bool {
    write(text, to: STDOUT_FILENO)
  }

  /// Writes one line to the standard error, whatever the names of files in it are.
  ///
  /// - Parameter milliseconds: How long to wait for a reader that does not read, before the rest of the line is dropped.
  static func complain(_ line: String, milliseconds: Int32 = 2000) {
    let bytes = Array((LogSink.oneLine(line) + "\n").utf8)
    var done = 0
    while done < bytes.count, isReady(STDERR_FILENO, milliseconds: milliseconds) {
      // A pipe that is ready takes this much without blocking (pipe(7)).
      let count = min(bytes.count - done, 4096)
      let written = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(STDERR_FILENO, $0.baseAddress?.advanced(by: done), count) }
      if written > 0 {
        done += written
      } else if written == 0 || errno != EINTR && errno != EAGAIN {
        return
      }
    }
  }

  private static func isReady(_ descriptor: Int32, milliseconds: Int32) -> Bool {
    var watched = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    // A signal is as good as the end of the time: it may be the one that ends the process.
    return unsafe poll(&watched, 1, milliseconds) > 0
  }

  private static func write(_ text: String, to descriptor: Int32) -> Bool {
    let bytes = Array(text.utf8)
    var done = 0
    while done < bytes.count {
      let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress?.advanced(by: done), bytes.count - done) }
      if count > 0 {
        done += count
      } else if count < 0, errno == EAGAIN {
        // Somebody made it one that does not block. Its reader is waited for all the same.
        _ = isReady(descriptor, milliseconds: -1)
      } else if count == 0 || errno != EINTR {
        return false
      }
    }
    return true
  }
}
