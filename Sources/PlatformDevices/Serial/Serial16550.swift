public import Bus
public import Interrupts
public import Platform
internal import Synchronization

/// A serial port with a 16550A, as a PC's COM ports: eight one-byte registers.
///
/// A guest whose output nobody reads finds the transmitter busy, as with a slow line, and waits or not as it likes; the vCPU is never held.
/// A guest that writes nevertheless loses bytes. Input comes through `receive`, usually from an `InputPump`, as fast as the guest reads.
public final class Serial16550: BusDevice, ByteRegisters, ByteReceiver {
  /// The number of ports that the device takes.
  public static let length: UInt64 = 8

  /// Where a PC has its four ports, and their interrupt lines; index 0 is COM1.
  public static let standardPorts: [(base: UInt64, line: UInt32)] = [(0x3f8, 4), (0x2f8, 3), (0x3e8, 4), (0x2e8, 3)]

  private let core: Core
  private let output: any ByteOutput

  /// Makes a port.
  ///
  /// - Parameters:
  ///   - interrupt: The port's line; ports may share one.
  ///   - output: Where the guest's bytes go.
  public init(interrupt: EdgeInterrupt, output: any ByteOutput) {
    let core = Core(interrupt: interrupt)
    self.core = core
    self.output = output
    output.onRoom { core.access { $0.registers.transmitterRecovered() } }
  }

  package func readByte(_ offset: UInt64) -> UInt8 { core.access { $0.registers.read(offset) } }

  package func writeByte(_ offset: UInt64, _ value: UInt8) {
    core.access { state in
      if let byte = state.registers.write(offset, value) { state.registers.transmitted(room: output.write(byte)) }
    }
  }

  /// Takes input for the guest, as much as the receive FIFO has room for while the guest listens.
  public func receive(_ bytes: ArraySlice<UInt8>) -> Int {
    core.access { state in
      let count = min(bytes.count, state.registers.receiveRoom)
      for byte in bytes.prefix(count) { state.registers.receive(byte) }
      state.inputWaits = count < bytes.count
      return count
    }
  }

  /// Sets who is told when the guest has read so much that input may go on.
  public func onReceiveRoom(_ handler: @escaping @Sendable () -> Void) { core.access { $0.roomHandler = handler } }

  private struct State {
    var registers = SerialRegisters()
    var inputWaits = false
    var roomHandler: (@Sendable () -> Void)?
  }

  /// What the output's room handler shares with the device. An object of its own, so that nobody needs a weak reference to the device:
  /// an object with one is retained and released through a side table, which made each access of a guest five times as slow.
  private final class Core: Sendable {
    private let state = Mutex(State())
    private let interrupt: EdgeInterrupt

    init(interrupt: EdgeInterrupt) { self.interrupt = interrupt }

    /// Runs `body` and then tells those who wait: the guest of a new reason to interrupt, the input of new room.
    func access<Result>(_ body: (inout State) -> Result) -> Result {
      state.withLock { state in
        let before = state.registers.pendingInterrupts
        let result = body(&state)
        // A signal for each new reason, and not for the first only: an edge that the guest's controller missed would be the last.
        if state.registers.pendingInterrupts & ~before != 0 { interrupt.signal() }
        if state.inputWaits, state.registers.wantsInput {
          state.inputWaits = false
          state.roomHandler?()
        }
        return result
      }
    }
  }
}
