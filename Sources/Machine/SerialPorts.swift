internal import BasicDevices
internal import Glibc
internal import Interrupts
internal import Logging
internal import Platform
internal import PlatformDevices

/// The machine's serial ports and virtio consoles, with what is behind them on the host.
final class SerialPorts: Sendable {
  private let outputs: [BufferedOutput]
  private let uarts: [(port: Int, device: Serial16550, interrupt: EdgeInterrupt)]
  /// The virtio consoles, to be plugged into PCI slots.
  let consoles: [PlannedDevice]
  /// The port that gets the standard input.
  private let reader: Serial16550?
  /// Whether any port or console gets it.
  private let readsStandardInput: Bool

  init(configuration: VMConfiguration, logger: Logger) throws {
    var outputs: [BufferedOutput] = []
    var uarts: [(port: Int, device: Serial16550, interrupt: EdgeInterrupt)] = []
    var consoles: [PlannedDevice] = []
    var reader: Serial16550?
    for port in configuration.completeSerialPorts {
      let target = try Self.open(port, tag: configuration.syslogTag ?? "crosvm")
      switch port.hardware {
      case .serial:
        let name = port.guestName
        let output = try target?.makeOutput(name: "serial output") {
          logger.warning("\(name): \($0); what the guest writes there is lost from now on")
        }
        if let output { outputs.append(output) }
        let interrupt = try EdgeInterrupt()
        let device = Serial16550(interrupt: interrupt, output: output ?? NullOutput())
        uarts.append((port.number - 1, device, interrupt))
        if port.readsStandardInput { reader = device }
      case .virtioConsole:
        let input = port.readsStandardInput ? try Self.standardInput() : nil
        consoles.append(
          PlannedDevice(
            name: "console\(port.number - 1)", blueprint: ConsoleBlueprint(name: port.guestName, output: target, input: input)))
      }
    }
    (self.outputs, self.uarts, self.consoles, self.reader) = (outputs, uarts, consoles, reader)
    readsStandardInput = configuration.completeSerialPorts.contains { $0.readsStandardInput }
  }

  private static func standardInput() throws(SystemError) -> DescriptorBox {
    DescriptorBox(try OwnedDescriptor.duplicate(STDIN_FILENO))
  }

  private static func open(_ port: SerialConfiguration, tag: String) throws -> OutputTarget? {
    do throws(SystemError) {
      return switch port.backend {
      case .sink: nil
      case .standardOutput: try OutputTarget.standardOutput()
      case .file(let path): try OutputTarget.file(path)
      case .unixSocket(let path): try OutputTarget.datagramSocket(path)
      case .syslog: try OutputTarget.systemLog(tag: tag)
      }
    } catch {
      throw MachineError.serialOutput(port: port.guestName, explain(error, port.backend))
    }
  }

  /// What cannot be opened, why, and what to do.
  private static func explain(_ error: SystemError, _ backend: SerialConfiguration.Backend) -> String {
    switch backend {
    case .sink, .standardOutput: error.description
    case .file(let path): "the file \(path.debugDescription) cannot be opened: \(error.reason); give the path of one that can be written"
    case .unixSocket(let path):
      "nothing receives at the socket \(path.debugDescription): \(error.reason); start first what listens there, with a datagram socket"
    case .syslog: "the system log cannot be reached: \(error.reason); start a log daemon, or give another type"
    }
  }

  /// Registers the 16550s at a PC's ports; the first and third share a line, as do the second and fourth.
  func attach(to board: Board) throws {
    for uart in uarts {
      let place = Serial16550.standardPorts[uart.port]
      try board.ports.insert(uart.device, base: place.base, length: Serial16550.length)
      try board.wiring.connect(uart.interrupt, line: place.line)
    }
  }

  /// Puts the terminal into raw mode if a port reads from it, begins to read the standard input for a port, and to write what ports print.
  func start() throws -> RunningStreams {
    for output in outputs { try output.start() }
    guard readsStandardInput else { return RunningStreams(terminal: nil, pump: nil) }
    let terminal = try RawTerminal()
    let pump = try reader.map { try InputPump(name: "stdin", descriptor: STDIN_FILENO, receiver: $0) }
    return RunningStreams(terminal: terminal, pump: pump)
  }

  /// Gives what the guest wrote last a second to be written.
  func finish() {
    for output in outputs { output.finish(milliseconds: 1000) }
  }
}

/// The terminal in raw mode, as an object that can be optional.
final class RawTerminal: Sendable {
  private let terminal: Terminal
  init() throws(SystemError) { terminal = try Terminal() }
}

/// What reads the standard input during a run.
final class RunningStreams {
  private var terminal: RawTerminal?
  private let pump: InputPump?

  init(terminal: RawTerminal?, pump: InputPump?) {
    self.terminal = terminal
    self.pump = pump
  }

  /// Stops reading and puts the terminal back.
  func stop() {
    pump?.stop()
    terminal = nil
  }
}
