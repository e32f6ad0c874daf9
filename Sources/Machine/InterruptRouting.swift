internal import Interrupts
internal import KVM
internal import Platform
internal import Synchronization

/// The machine's table of interrupt routes: fixed lines of the interrupt controllers, and one line for each MSI-X vector in use.
final class InterruptRouting: MessageInterruptAllocator {
  /// Lines below this number are inputs of the IOAPIC.
  static let controllerLines: UInt32 = 24
  /// The kernel keeps this many routes at most.
  static let maximumLines: UInt32 = 4096

  private struct State {
    var fixed: [InterruptRoute]
    var messages: [UInt32: InterruptMessage] = [:]
    var nextLine = InterruptRouting.controllerLines
  }

  private let machine: VirtualMachine
  private let state: Mutex<State>

  /// Makes the table with the given routes of the controllers' own lines; nothing goes to the kernel until the first change.
  init(machine: VirtualMachine, fixed: [InterruptRoute]) {
    self.machine = machine
    state = Mutex(State(fixed: fixed))
  }

  /// The routes that the kernel's PICs and IOAPIC have from the start: input by input. They need not be sent before the first change.
  static let pcRoutes: [InterruptRoute] =
    (0..<UInt32(16)).map { .chip(line: $0, chip: $0 < 8 ? 0 : 1, pin: $0 % 8) }
    + (0..<controllerLines).map { .chip(line: $0, chip: 2, pin: $0) }

  /// Replaces the routes of the controllers' lines; for an IOAPIC in the VMM.
  func setFixed(_ routes: [InterruptRoute]) throws(KVMError) {
    try state.withLock { (state: inout State) throws(KVMError) in
      state.fixed = routes
      try send(state)
    }
  }

  private func send(_ state: State) throws(KVMError) {
    let messages = state.messages.map { InterruptRoute.message(line: $0.key, address: $0.value.address, data: $0.value.data) }
    try machine.setRoutes(state.fixed + messages)
  }

  func makeMessageInterrupt() throws -> any MessageInterrupt {
    let line = state.withLock { state -> UInt32? in
      guard state.nextLine < Self.maximumLines else { return nil }
      defer { state.nextLine += 1 }
      return state.nextLine
    }
    guard let line else { throw MachineError.tooManyInterrupts(limit: Int(Self.maximumLines)) }
    do { return try RoutedMessage(line: line, routing: self) } catch {
      // A guest may try this again and again.
      state.withLock { if $0.nextLine == line + 1 { $0.nextLine = line } }
      throw error
    }
  }

  /// A vector's line: an event in the kernel that sends the message of the line's route.
  private final class RoutedMessage: MessageInterrupt {
    let event: EventFD
    private let line: UInt32
    private let routing: InterruptRouting

    init(line: UInt32, routing: InterruptRouting) throws {
      self.line = line
      self.routing = routing
      event = try EventFD()
      try routing.machine.attachInterrupt(line: line, trigger: event.number)
    }

    func route(_ message: InterruptMessage) throws {
      try routing.state.withLock { state in
        guard state.messages[line] != message else { return }
        var changed = state
        changed.messages[line] = message
        try routing.send(changed)
        state = changed
      }
    }
  }
}
