public import Platform
internal import Synchronization
public import Virtio

/// The console device with one port (virtio 1.2, section 5.3): `/dev/hvc0` of a Linux guest.
///
/// Output goes to a `ByteOutput`; while that has no room, the driver's buffers wait in their queue. Input comes through `receive`, usually
/// from an `InputPump`; before the guest has opened its port (the driver is ready, where it does not tell), and while its buffers are full,
/// nothing is taken. So nothing is lost in either direction.
public final class ConsoleDevice: VirtioDevice, ByteReceiver {
  private enum Feature {
    static let size: UInt64 = 1 << 0
    static let multiplePorts: UInt64 = 1 << 1
    static let emergencyWrite: UInt64 = 1 << 2
  }

  /// The console device's number.
  public var type: VirtioDeviceType { .console }
  /// The emergency write register, the control queues of several ports (of which there is one), and the terminal's size where it is known.
  public let features: UInt64
  /// The port's receive queue and its transmit queue, then those of the control messages (section 5.3.2).
  public var queueSizes: [UInt16] { [128, 128, 32, 32] }

  private struct State {
    var space: ConfigurationSpace
    var slot = WorkerSlot()
    var interrupt: (any VirtioInterrupt)?
    /// Reads the input, once there was a driver.
    var pump: InputPump?
    var isFinished = false
  }

  private let state: Mutex<State>
  private let input = ConsoleInput()
  private let control: ConsoleControl
  private let output: ConsoleOutput
  private let place: any ByteOutput
  private let source: DescriptorBox?

  /// Makes a console.
  ///
  /// - Parameters:
  ///   - output: Where the guest's bytes go.
  ///   - size: The size of the terminal behind it; `nil` when there is none, or nobody knows.
  ///   - source: Where input is read from as soon as there is a driver; `nil` where it comes by `receive` or not at all.
  public init(output: any ByteOutput, size: ConsoleSize? = nil, source: DescriptorBox? = nil) {
    self.source = source
    place = output
    features = Feature.emergencyWrite | Feature.multiplePorts | (size == nil ? 0 : Feature.size)
    control = ConsoleControl(input: input, size: size)
    state = Mutex(State(space: ConsoleLayout.space(size)))
    self.output = ConsoleOutput(output)
    output.onRoom { [weak self] in self?.outputHasRoom() }
  }

  /// Reads the terminal's size and the number of ports.
  public func readConfiguration(offset: UInt64, width: Int) -> UInt64 { state.withLock { $0.space.read(offset: offset, width: width) } }

  /// Prints a character written to the emergency write register (section 5.3.4.1); works before the driver is ready.
  public func writeConfiguration(offset: UInt64, width: Int, value: UInt64) {
    if offset == ConsoleLayout.emergencyWrite { output.write(UInt8(truncatingIfNeeded: value)) }
  }

  /// Tells the guest that the terminal has another size now; has an effect only on a console made with a size.
  public func resize(_ size: ConsoleSize) {
    guard features & Feature.size != 0 else { return }
    control.resize(size)
    let (interrupt, worker) = state.withLock { state in
      state.space.set(size.columns, at: ConsoleLayout.columns)
      state.space.set(size.rows, at: ConsoleLayout.rows)
      return (state.interrupt, state.slot.worker)
    }
    interrupt?.signalConfigurationChange()
    worker?.serve(queue: ConsoleWorker.controlReceiveQueue)
  }

  /// Takes input for the guest: as much as there is room for while a driver is ready.
  public func receive(_ bytes: ArraySlice<UInt8>) -> Int {
    let taken = input.receive(bytes)
    if taken > 0 { state.withLock { $0.slot.worker }?.serve(queue: ConsoleWorker.receiveQueue) }
    return taken
  }

  /// Sets who is told that input may go on.
  public func onReceiveRoom(_ handler: @escaping @Sendable () -> Void) { input.onRoom(handler) }

  private func outputHasRoom() {
    output.unblock()
    state.withLock { $0.slot.worker }?.serve(queue: ConsoleWorker.transmitQueue)
  }

  /// Begins to serve the queues.
  public func activate(_ activation: VirtioActivation) throws {
    endWorker()
    try state.withLock { state in
      state.slot.fill(
        try ConsoleWorker.start(
          activation.queues, input: input, output: output, control: control, suspended: state.slot.isSuspended))
      state.interrupt = activation.interrupt
      if let source, state.pump == nil, !state.isFinished {
        state.pump = try InputPump(name: "console input", descriptor: source.number, receiver: self)
      }
    }
    if activation.features & Feature.multiplePorts == 0 || control.guestHasOpened { input.open() }
  }

  /// Ends the worker. Input that was taken, and not delivered yet, is for the next driver.
  public func reset() {
    endWorker()
    control.reset()
  }

  private func endWorker() {
    input.close()
    let worker = state.withLock { state in
      state.interrupt = nil
      return state.slot.take()
    }
    worker?.stop()
    if worker != nil { output.forgetPartial() }
  }

  /// Reads no more input, and gives what the guest wrote last a second to reach its place.
  public func finish() {
    let pump = state.withLock { state in
      state.isFinished = true
      return state.pump.take()
    }
    pump?.stop()
    place.finish(milliseconds: 1000)
  }

  /// Holds input and output back.
  public func suspend() {
    state.withLock { $0.slot.suspend() }
  }

  /// Serves the queues again.
  public func resume() {
    state.withLock { $0.slot.resume() }
  }

  /// The input that was taken and not delivered yet, the state of the port, and how much of the driver's current buffer is printed already.
  public func snapshot() throws -> [UInt8] {
    ConsoleSnapshot(printed: output.printed, control: control.savedState, input: input.undelivered).encoded
  }

  /// Takes over a state.
  ///
  /// - Throws: `DeviceStateError` for one that is no console's.
  public func restore(_ state: [UInt8]) throws {
    let snapshot = try ConsoleSnapshot(state)
    output.restore(printed: snapshot.printed)
    control.restore(snapshot.control)
    input.restore(snapshot.input)
  }
}
