internal import BasicDevices
internal import Interrupts
internal import Logging
internal import Platform
internal import PlatformDevices

/// The machine's serial ports and virtio consoles, with what is behind them on the host.
final class SerialPorts: Sendable {
  private let outputs: [any ByteOutput]
  private let uarts: [(port: Int, device: Serial16550, interrupt: EdgeInterrupt)]
  /// The virtio consoles, to be plugged into PCI slots.
  let consoles: [NamedVirtioDevice]
  /// Who gets the standard input.
  private let reader: (any ByteReceiver)?

  init(configuration: VMConfiguration, logger: Logger) throws {
    var outputs: [any ByteOutput] = []
    var uarts: [(port: Int, device: Serial16550, interrupt: EdgeInterrupt)] = []
    var consoles: [NamedVirtioDevice] = []
    var reader: (any ByteReceiver)?
    for port in configuration.completeSerialPorts {
      let output = try Self.open(port, tag: configuration.syslogTag ?? "crosvm", logger: logger)
      outputs.append(output)
      switch port.hardware {
      case .serial:
        let interrupt = try EdgeInterrupt()
        let device = Serial16550(interrupt: interrupt, output: output)
        uarts.append((port.number - 1, device, interrupt))
        if port.readsStandardInput { reader = device }
      case .virtioConsole:
        let device = ConsoleDevice(output: output)
        consoles.append(NamedVirtioDevice(name: "console\(port.number - 1)", device: device))
        if port.readsStandardInput { reader = device }
      }
    }
    (self.outputs, self.uarts, self.consoles, self.reader) = (outputs, uarts, consoles, reader)
  }

  private static func open(_ port: SerialConfiguration, tag: String, logger: Logger) throws -> any ByteOutput {
    let name = port.guestName
    let report: BufferedOutput.ErrorHandler = { logger.warning("\(name): \($0); what the guest writes there is lost from now on") }
    do throws(SystemError) {
      return switch port.backend {
      case .sink: NullOutput()
      case .standardOutput: try BufferedOutput.standardOutput(onError: report)
      case .file(let path): try BufferedOutput.file(path, onError: report)
      case .unixSocket(let path): try BufferedOutput.datagramSocket(path, onError: report)
      case .syslog: try BufferedOutput.systemLog(try SystemLog(tag: tag), onError: report)
      }
    } catch {
      throw MachineError.serialOutput(port: name, explain(error, port.backend))
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

  /// Puts the terminal into raw mode and begins to read the standard input, if a port wants it.
  func start() throws -> RunningStreams {
    guard let reader else { return RunningStreams(terminal: nil, pump: nil) }
    return RunningStreams(terminal: try RawTerminal(), pump: try InputPump(name: "stdin", descriptor: 0, receiver: reader))
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
