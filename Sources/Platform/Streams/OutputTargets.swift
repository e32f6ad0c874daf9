internal import CLinux
internal import Glibc

/// A place for bytes, opened: what a `BufferedOutput` writes to. It can go to another process before that is made.
public struct OutputTarget: Sendable {
  private enum Kind: UInt8 {
    case stream
    case datagrams
    case systemLog
  }

  private let kind: Kind
  private let box: DescriptorBox
  /// The path of a socket, or what stands before each line of a log.
  private let text: String
  /// Whether another process opened it, where there are other paths than here: who is gone is not looked for again.
  private let isForeign: Bool

  private init(_ kind: Kind, _ descriptor: consuming OwnedDescriptor, text: String = "", isForeign: Bool = false) {
    self.kind = kind
    self.text = text
    self.isForeign = isForeign
    box = DescriptorBox(descriptor)
  }

  /// A pipe, a terminal, a stream socket.
  public init(descriptor: consuming OwnedDescriptor) { self.init(.stream, descriptor) }

  /// This process's standard output.
  public static func standardOutput() throws(SystemError) -> OutputTarget {
    OutputTarget(descriptor: try OwnedDescriptor.duplicate(STDOUT_FILENO))
  }

  /// The end of a file, which is made when there is none.
  ///
  /// A FIFO is opened for both directions, so that opening does not wait for its reader.
  public static func file(_ path: String) throws(SystemError) -> OutputTarget {
    var status = stat()
    let isFIFO = unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFIFO
    let flags = isFIFO ? O_RDWR : O_WRONLY | O_APPEND | O_CREAT
    return OutputTarget(descriptor: try OwnedDescriptor.open(path, flags: flags | O_NOCTTY, mode: 0o644))
  }

  /// Messages to the datagram socket at `path`.
  public static func datagramSocket(_ path: String) throws(SystemError) -> OutputTarget {
    OutputTarget(.datagrams, try UnixSocket.connect(to: path, kind: .datagram), text: path)
  }

  /// Lines to the system's log.
  ///
  /// - Parameters: See `SystemLog`.
  public static func systemLog(tag: String, path: String = SystemLog.standardPath) throws(SystemError) -> OutputTarget {
    OutputTarget(.systemLog, try UnixSocket.connect(to: path, kind: .datagram), text: SystemLog.prefix(tag: tag))
  }

  /// The descriptor, lent.
  public var descriptor: Int32 { box.number }

  /// Makes the output, which takes the descriptor. Called once.
  ///
  /// - Parameters:
  ///   - name: Of the thread that writes.
  ///   - onError: Told of the first failed write; says what failed and why.
  public func makeOutput(
    name: String = "output", onError: @escaping @Sendable (SystemError) -> Void = { _ in }
  ) throws(SystemError) -> BufferedOutput {
    guard let descriptor = box.take() else { throw SystemError("use an output's descriptor twice", code: EBADF) }
    switch kind {
    case .stream: return try BufferedOutput(name: name, drain: DescriptorDrain(descriptor), onError: onError)
    case .datagrams:
      return try BufferedOutput(name: name, drain: DatagramDrain(descriptor, path: isForeign ? nil : text), onError: onError)
    case .systemLog:
      let log = SystemLog(descriptor, prefix: text, path: isForeign ? nil : SystemLog.standardPath)
      return try BufferedOutput(name: name, drain: SystemLogDrain(log: log), onError: onError)
    }
  }

  /// Writes all but the descriptor.
  public func encode(to writer: inout ByteWriter) {
    writer.put(kind.rawValue)
    writer.put(text)
  }

  /// Reads what `encode` wrote. A socket's path means nothing in a process without files.
  ///
  /// - Throws: `MalformedBytes`.
  public init(from reader: inout ByteReader, descriptor: consuming OwnedDescriptor) throws(MalformedBytes) {
    guard let kind = Kind(rawValue: try reader.get()) else { throw MalformedBytes("it is no output") }
    self.init(kind, descriptor, text: try reader.getString(), isForeign: true)
  }
}
