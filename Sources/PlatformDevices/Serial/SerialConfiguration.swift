/// What the user sets for one serial port of the guest.
public struct SerialConfiguration: Sendable, Equatable {
  /// Where the bytes go that the guest writes.
  public enum Backend: Sendable, Equatable {
    /// The standard output of the process.
    case standardOutput
    /// The system log, one entry a line.
    case syslog
    /// Nowhere.
    case sink
    /// A file, which is created where it is missing and appended to where it is not.
    case file(path: String)
    /// A datagram socket that listens at this path.
    case unixSocket(path: String)
  }

  /// What the guest sees.
  public enum Hardware: String, Sendable, CaseIterable {
    /// A 16550 at the port of a PC's COM port: `/dev/ttyS0` and on.
    case serial
    /// A virtio console: `/dev/hvc0` and on.
    case virtioConsole = "virtio-console"
  }

  /// Where the bytes go.
  public var backend: Backend

  /// What the guest sees.
  public var hardware: Hardware

  /// Which port of its hardware this is, 1 to 4: 1 is `/dev/ttyS0` or `/dev/hvc0`.
  public var number: Int

  /// Whether the guest's kernel uses the port as its console.
  public var isConsole: Bool

  /// Whether the guest's kernel writes its earliest messages here.
  ///
  /// Possible with a 16550 only.
  public var isEarlyConsole: Bool

  /// Whether the port reads the standard input of the process.
  public var readsStandardInput: Bool

  /// Makes the configuration of a port.
  ///
  /// - Parameters:
  ///   - backend: Where the bytes go.
  ///   - hardware: What the guest sees.
  ///   - number: Which port of its hardware this is, 1 to 4.
  ///   - isConsole: Whether the guest's kernel uses the port as its console.
  ///   - isEarlyConsole: Whether the guest's kernel writes its earliest messages here.
  ///   - readsStandardInput: Whether the port reads the standard input of the process.
  public init(
    backend: Backend = .sink, hardware: Hardware = .serial, number: Int = 1, isConsole: Bool = false,
    isEarlyConsole: Bool = false, readsStandardInput: Bool = false
  ) {
    self.backend = backend
    self.hardware = hardware
    self.number = number
    self.isConsole = isConsole
    self.isEarlyConsole = isEarlyConsole
    self.readsStandardInput = readsStandardInput
  }

  /// The numbers that a port may have: a PC has four COM ports.
  public static let numbers = 1...4

  /// The longest path of a socket, in bytes: `sun_path` without its final zero, unix(7).
  public static let socketPathLimit = 107

  /// The name of the device file in a Linux guest, such as `ttyS0`.
  public var guestName: String {
    let (index, underflow) = number.subtractingReportingOverflow(1)
    let prefix =
      switch hardware {
      case .serial: "ttyS"
      case .virtioConsole: "hvc"
      }
    return prefix + String(underflow ? 0 : index)
  }

  /// Checks every value on its own.
  ///
  /// Opens nothing.
  ///
  /// - Throws: The first thing that is wrong.
  public func validate() throws(SerialConfigurationError) {
    guard SerialConfiguration.numbers.contains(number) else { throw .number(number) }
    guard !isEarlyConsole || hardware == .serial else { throw .earlyConsole(hardware) }
    switch backend {
    case .file(let path):
      guard !path.isEmpty else { throw .missingPath(type: "file") }
    case .unixSocket(let path):
      guard !path.isEmpty else { throw .missingPath(type: "unix") }
      guard path.utf8.count <= SerialConfiguration.socketPathLimit else { throw .longSocketPath(path) }
    case .standardOutput, .syslog, .sink:
      break
    }
  }
}

/// What is wrong with a `SerialConfiguration`.
public enum SerialConfigurationError: Error, Equatable, CustomStringConvertible {
  /// There is no port of that number.
  case number(Int)
  /// The hardware cannot write early messages.
  case earlyConsole(SerialConfiguration.Hardware)
  /// The type needs a path.
  case missingPath(type: String)
  /// The path does not fit a socket address.
  case longSocketPath(String)

  /// One line: what is wrong, with the value, and what to give instead.
  public var description: String {
    switch self {
    case .number(let number): "there is no serial port number \(number); give 1 to \(SerialConfiguration.numbers.upperBound)"
    case .earlyConsole(let hardware): "\(hardware.rawValue) cannot be the early console; use hardware=serial"
    case .missingPath(let type): "a serial port of type \(type) needs a path; add path=PATH"
    case .longSocketPath(let path):
      "the socket path \(path.debugDescription) has \(path.utf8.count) bytes; "
        + "give at most \(SerialConfiguration.socketPathLimit), from a directory nearer to the root"
    }
  }
}
