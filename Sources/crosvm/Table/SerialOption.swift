import CommandLine
import PlatformDevices

/// The option that sets up a serial port.
enum SerialOption {
  private enum Kind: String, CaseIterable {
    case stdout, syslog, sink, file, unix
  }

  private static let type = Field(
    "type", ValueType<Kind>.choice("TYPE"), default: "sink",
    "Where the guest's output goes: stdout, the system log, nowhere (sink), a file that is appended to, or a listening unix datagram socket."
  )
  private static let hardware = Field(
    "hardware", ValueType<SerialConfiguration.Hardware>.choice("HARDWARE"), default: "serial",
    "What the guest sees: a 16550 (serial: /dev/ttyS0 and on) or a virtio console (/dev/hvc0 and on).")
  private static let number = Field(
    "num", .integer(SerialConfiguration.numbers), default: "1",
    "Which port of its hardware it is, 1 to 4: 1 is ttyS0. Virtio consoles are hvc0 and on in their order: leave no gaps.")
  private static let path = Field("path", .path(), "The file or socket of the types file and unix.")
  private static let console = Field("console", .boolean, default: "false", "The guest's kernel uses the port as its console.")
  private static let earlycon = Field(
    "earlycon", .boolean, default: "false", "The guest's kernel writes its earliest messages here; with hardware=serial only.")
  private static let stdin = Field("stdin", .boolean, default: "false", "The port reads the standard input.")

  private static let fields = FieldTable(
    [
      type.description, hardware.description, number.description, path.description, console.description, earlycon.description,
      stdin.description,
    ], unavailable: ["name", "input", "input-unix-stream", "debugcon-port", "pci-address", "max-queue-sizes"])

  static let serial = Option(
    "serial", .fields(fields) { fields throws(ValueError) in try port(fields) },
    default: "stdout,console,stdin for ttyS0, sink for ttyS1 to ttyS3", isRepeatable: true,
    "Set up a serial port. Without a port that is the console, and unless num=1 is set up otherwise, ttyS0 is the console on the standard streams."
  )

  private static func port(_ fields: Fields) throws(ValueError) -> SerialConfiguration {
    let hardware = try fields.value(hardware) ?? .serial
    let isEarlyConsole = try fields.value(earlycon) ?? false
    guard !isEarlyConsole || hardware == .serial else {
      throw ValueError("earlycon needs a 16550", at: fields.position(of: earlycon), remedy: "give hardware=serial or drop earlycon")
    }
    return SerialConfiguration(
      backend: try backend(fields), hardware: hardware, number: try fields.value(number) ?? 1,
      isConsole: try fields.value(console) ?? false, isEarlyConsole: isEarlyConsole,
      readsStandardInput: try fields.value(stdin) ?? false)
  }

  private static func backend(_ fields: Fields) throws(ValueError) -> SerialConfiguration.Backend {
    let kind = try fields.value(type) ?? .sink
    let path = try fields.value(path)
    switch kind {
    case .file: return .file(path: try require(path, kind, fields))
    case .unix: return .unixSocket(path: try socketPath(try require(path, kind, fields), fields))
    case .stdout, .syslog, .sink:
      guard path == nil else {
        throw ValueError(
          "a port of type \(kind.rawValue) has no path", at: fields.position(of: SerialOption.path), remedy: "drop path or give type=file")
      }
      return kind == .stdout ? .standardOutput : kind == .syslog ? .syslog : .sink
    }
  }

  private static func require(_ path: String?, _ kind: Kind, _ fields: Fields) throws(ValueError) -> String {
    guard let path else {
      throw ValueError("a port of type \(kind.rawValue) needs a path", at: fields.position(of: type), remedy: "give path=PATH")
    }
    return path
  }

  private static func socketPath(_ path: String, _ fields: Fields) throws(ValueError) -> String {
    guard path.utf8.count <= SerialConfiguration.socketPathLimit else {
      throw ValueError(
        "the path has \(path.utf8.count) bytes", at: fields.position(of: SerialOption.path),
        remedy: "give a socket's path of at most \(SerialConfiguration.socketPathLimit)")
    }
    return path
  }
}
