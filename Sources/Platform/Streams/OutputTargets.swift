internal import CLinux
internal import Glibc

extension BufferedOutput {
  /// Told of an output's first failed write; says what failed and why.
  public typealias ErrorHandler = @Sendable (SystemError) -> Void

  /// Writes to an open descriptor, which closes with the output: a pipe, a terminal, a stream socket.
  public convenience init(
    descriptor: consuming OwnedDescriptor, name: String = "output", onError: @escaping ErrorHandler = { _ in }
  ) throws(SystemError) {
    try self.init(name: name, drain: DescriptorDrain(descriptor), onError: onError)
  }

  /// Writes to this process's standard output.
  public static func standardOutput(onError: @escaping ErrorHandler = { _ in }) throws(SystemError) -> BufferedOutput {
    let number = try retrying("duplicate standard output") { Int(clinux_fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)) }
    return try BufferedOutput(descriptor: OwnedDescriptor(owning: Int32(number)), name: "stdout", onError: onError)
  }

  /// Adds to the end of a file, which is made when there is none.
  ///
  /// A FIFO is opened for both directions, so that opening does not wait for its reader.
  public static func file(_ path: String, onError: @escaping ErrorHandler = { _ in }) throws(SystemError) -> BufferedOutput {
    var status = stat()
    let isFIFO = unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFIFO
    let flags = isFIFO ? O_RDWR : O_WRONLY | O_APPEND | O_CREAT
    let descriptor = try OwnedDescriptor.open(path, flags: flags | O_NOCTTY, mode: 0o644)
    return try BufferedOutput(descriptor: descriptor, name: "serial file", onError: onError)
  }

  /// Sends messages to the datagram socket at `path`.
  public static func datagramSocket(_ path: String, onError: @escaping ErrorHandler = { _ in }) throws(SystemError) -> BufferedOutput {
    try BufferedOutput(name: "serial socket", drain: DatagramDrain(path: path), onError: onError)
  }

  /// Sends each line to the system's log.
  public static func systemLog(_ log: SystemLog, onError: @escaping ErrorHandler = { _ in }) throws(SystemError) -> BufferedOutput {
    try BufferedOutput(name: "serial syslog", drain: SystemLogDrain(log: log), onError: onError)
  }
}
