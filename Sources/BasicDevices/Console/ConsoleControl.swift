internal import Synchronization
internal import Virtio

/// The conversation on the control queues about the one port (virtio 1.2, section 5.3.6): it exists, it is a console, who has it open.
///
/// It tells when the guest listens. Linux throws input away that comes before that, so the device holds it back.
/// What is still to be said is a set, not a list: however much a driver asks, it takes no more memory.
final class ConsoleControl: Sendable {
  /// What is to be said, in the order in which it is said.
  struct Pending: OptionSet {
    let rawValue: UInt8
    static let portAdd = Pending(rawValue: 1)
    static let consolePort = Pending(rawValue: 2)
    static let portOpen = Pending(rawValue: 4)
    static let resize = Pending(rawValue: 8)
  }

  private struct State {
    var pending = Pending()
    var guestHasOpened = false
    var size: ConsoleSize?
  }

  private let state: Mutex<State>
  private let input: ConsoleInput

  /// Makes the conversation, which opens and closes the input as the guest does its port.
  init(input: ConsoleInput, size: ConsoleSize?) {
    self.input = input
    state = Mutex(State(size: size))
  }

  /// Serves a chain of the driver's control queue.
  ///
  /// - Returns: Whether there may be something to say now.
  func handle(_ chain: DescriptorChain) -> Bool {
    var bytes: [UInt8] = []
    let count = min(chain.readableBytes, UInt64(ConsoleRequest.size))
    guard (try? chain.copyReadable(offset: 0, count: Int(count), into: &bytes)) != nil, let request = ConsoleRequest(bytes) else {
      return false
    }
    return handle(request)
  }

  private func handle(_ request: ConsoleRequest) -> Bool {
    switch request.event {
    case .deviceReady where request.value == 1: add(.portAdd)
    case .portReady where request.value == 1 && request.port == 0: add([.consolePort, .portOpen, .resize])
    case .portOpen where request.port == 0: setOpen(request.value == 1)
    default: return false
    }
    return true
  }

  private func add(_ pending: Pending) {
    state.withLock { state in
      state.pending.formUnion(pending)
      if state.size == nil { state.pending.remove(.resize) }
    }
  }

  private func setOpen(_ isOpen: Bool) {
    state.withLock { $0.guestHasOpened = isOpen }
    if isOpen { input.open() } else { input.close() }
  }

  /// The terminal has another size now.
  func resize(_ size: ConsoleSize) {
    state.withLock { state in
      state.size = size
      state.pending.insert(.resize)
    }
  }

  /// Serves a chain of the device's control queue; one that is too short is handed back empty.
  func fill(_ chain: DescriptorChain) -> QueueWorker.Outcome {
    state.withLock { state in
      guard let (what, bytes) = Self.next(state) else { return .later }
      var writer = ChainWriter(chain)
      guard writer.remaining >= UInt64(bytes.count), (try? writer.write(bytes)) != nil else { return .done(written: 0) }
      state.pending.remove(what)
      return .done(written: writer.written)
    }
  }

  private static func next(_ state: State) -> (Pending, [UInt8])? {
    if state.pending.contains(.portAdd) { return (.portAdd, ConsoleRequest(event: .portAdd, value: 1).bytes) }
    if state.pending.contains(.consolePort) { return (.consolePort, ConsoleRequest(event: .consolePort, value: 1).bytes) }
    if state.pending.contains(.portOpen) { return (.portOpen, ConsoleRequest(event: .portOpen, value: 1).bytes) }
    guard state.pending.contains(.resize), let size = state.size else { return nil }
    let dimensions = ConsoleRequest.bytes(of: size.columns) + ConsoleRequest.bytes(of: size.rows)
    return (.resize, ConsoleRequest(event: .resize, value: 0).bytes + dimensions)
  }

  /// Forgets the driver.
  func reset() {
    state.withLock { state in
      state.pending = []
      state.guestHasOpened = false
    }
  }

  /// What a snapshot keeps: what is to be said, and in the highest bit whether the guest has opened the port.
  var savedState: UInt8 { state.withLock { $0.pending.rawValue | ($0.guestHasOpened ? 0x80 : 0) } }

  /// Takes over what a snapshot kept; the input opens with the next activation.
  func restore(_ saved: UInt8) {
    state.withLock { state in
      state.pending = Pending(rawValue: saved & 0x0f)
      state.guestHasOpened = saved & 0x80 != 0
    }
  }

  /// Whether the guest has the port open.
  var guestHasOpened: Bool { state.withLock { $0.guestHasOpened } }
}
