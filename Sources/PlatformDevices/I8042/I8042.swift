public import Bus
internal import Synchronization

/// A PC's keyboard controller without a keyboard or mouse: it answers its driver's questions, and resets the machine.
public final class I8042: BusDevice, ByteRegisters {
  /// The first port. Port 0x61 in the midst belongs to the timer; `portB` answers for it.
  public static let base: UInt64 = 0x60
  /// The number of ports.
  public static let length: UInt64 = 5

  private enum Command {
    static let readConfiguration: UInt8 = 0x20
    static let writeConfiguration: UInt8 = 0x60
    static let testMousePort: UInt8 = 0xa9
    static let selfTest: UInt8 = 0xaa
    static let testKeyboardPort: UInt8 = 0xab
    static let readOutputPort: UInt8 = 0xd0
    static let writeOutputPort: UInt8 = 0xd1
    static let echoAsKeyboard: UInt8 = 0xd2
    static let echoAsMouse: UInt8 = 0xd3
    static let pulse: UInt8 = 0xf0
  }
  /// Self test passed, not locked.
  private static let idleStatus: UInt8 = 0x14
  private static let lastWasCommand: UInt8 = 0x08
  private static let outputFull: UInt8 = 0x01

  private struct State {
    var configuration: UInt8 = 0x34
    var output: UInt8?
    var lastWritten: UInt8 = 0
    var lastWasCommand = false
    var waitingForParameter: UInt8?
  }

  private let state = Mutex(State())
  private let portB: any BusDevice
  private let onReset: @Sendable () -> Void

  /// Makes a controller.
  ///
  /// - Parameters:
  ///   - portB: What answers at port 0x61: the timer's control port in a machine that emulates the timer here, else a stand-in.
  ///   - onReset: Called on a vCPU's thread each time the guest pulses the reset line; it must not block.
  public init(portB: any BusDevice = IdlePortB(), onReset: @escaping @Sendable () -> Void) {
    self.portB = portB
    self.onReset = onReset
  }

  package func readByte(_ offset: UInt64) -> UInt8 {
    switch offset {
    case 0:
      return state.withLock { state in
        guard let byte = state.output.take() else { return 0 }
        return byte
      }
    case 1: return UInt8(truncatingIfNeeded: portB.read(offset: 0, width: 1))
    case 4:
      return state.withLock { state in
        I8042.idleStatus | (state.output == nil ? 0 : I8042.outputFull) | (state.lastWasCommand ? I8042.lastWasCommand : 0)
      }
    default: return 0xff
    }
  }

  package func writeByte(_ offset: UInt64, _ value: UInt8) {
    switch offset {
    case 0: if state.withLock({ I8042.takeData(value, &$0) }) { onReset() }
    case 1: portB.write(offset: 0, width: 1, value: UInt64(value))
    case 4: if state.withLock({ I8042.takeCommand(value, &$0) }) { onReset() }
    default: break
    }
  }

  /// Takes a byte at the data port; true when it resets the machine. A byte for a keyboard or mouse has nobody to go to.
  private static func takeData(_ value: UInt8, _ state: inout State) -> Bool {
    state.lastWasCommand = false
    switch state.waitingForParameter.take() {
    case Command.writeConfiguration: state.configuration = value
    case Command.writeOutputPort: return value & 1 == 0
    case Command.echoAsKeyboard: state.output = value
    // A controller without a mouse port does not say that the byte comes from one, which tells the driver.
    case Command.echoAsMouse: state.output = value
    default: break
    }
    return false
  }

  /// Takes a command; true when it resets the machine.
  private static func takeCommand(_ command: UInt8, _ state: inout State) -> Bool {
    state.lastWasCommand = true
    state.waitingForParameter = nil
    switch command {
    case Command.readConfiguration: state.output = state.configuration
    case Command.selfTest: state.output = 0x55
    case Command.testKeyboardPort: state.output = 0
    // "Clock line stuck low": there is no such port.
    case Command.testMousePort: state.output = 1
    // Bit 0: not in reset. Bit 1: address line 20 open.
    case Command.readOutputPort: state.output = 0x03
    case Command.writeConfiguration, Command.writeOutputPort, Command.echoAsKeyboard, Command.echoAsMouse:
      state.waitingForParameter = command
    // Pulses the output lines whose bits are 0; line 0 resets the processor.
    case Command.pulse...: return command & 1 == 0
    default: break
    }
    return false
  }
}

/// Port 0x61 of a machine whose timer is elsewhere: the refresh bit toggles, and the timer's output is always high, so that nobody who
/// waits for either waits for ever.
public final class IdlePortB: BusDevice, ByteRegisters {
  private let reads = Atomic<UInt8>(0)

  /// Makes the port.
  public init() {}

  package func readByte(_ offset: UInt64) -> UInt8 {
    offset == 0 ? 0x20 | (reads.wrappingAdd(1, ordering: .relaxed).newValue & 1) << 4 : 0xff
  }

  package func writeByte(_ offset: UInt64, _ value: UInt8) {}
}
