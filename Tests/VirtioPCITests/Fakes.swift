import Bus
import GuestMemory
import Interrupts
import Logging
import PCI
import Platform
import Synchronization
import Virtio

/// A device that notes what the transport does with it.
final class FakeDevice: VirtioDevice {
  struct Refusal: Error {}

  struct State {
    var activations: [VirtioActivation] = []
    var resets = 0
    var configuration: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
    var restored: [UInt8]?
  }

  let type: VirtioDeviceType
  let features: UInt64
  let queueSizes: [UInt16]
  let state = Mutex(State())
  let refuses = Atomic<Bool>(false)
  /// Called at the end of each activation, and at the beginning of each reset.
  let onActivate: @Sendable (VirtioActivation) throws -> Void
  let onReset: @Sendable () -> Void

  init(
    type: VirtioDeviceType = .block, features: UInt64 = 0b101, queueSizes: [UInt16] = [256, 64],
    onActivate: @escaping @Sendable (VirtioActivation) throws -> Void = { _ in }, onReset: @escaping @Sendable () -> Void = {}
  ) {
    self.onActivate = onActivate
    self.onReset = onReset
    self.type = type
    self.features = features
    self.queueSizes = queueSizes
  }

  func readConfiguration(offset: UInt64, width: Int) -> UInt64 {
    state.withLock { state in
      var value: UInt64 = 0
      for index in 0..<UInt64(width) where offset + index < state.configuration.count {
        value |= UInt64(state.configuration[Int(offset + index)]) << (8 * index)
      }
      return value
    }
  }

  func writeConfiguration(offset: UInt64, width: Int, value: UInt64) {
    state.withLock { state in
      // The transport promises nothing above the width.
      guard width == 8 || value >> UInt64(8 * width) == 0 else { return }
      for index in 0..<UInt64(width) where offset + index < state.configuration.count {
        state.configuration[Int(offset + index)] = UInt8(truncatingIfNeeded: value >> (8 * index))
      }
    }
  }

  func activate(_ activation: VirtioActivation) throws {
    if refuses.load(ordering: .relaxed) { throw Refusal() }
    state.withLock { $0.activations.append(activation) }
    try onActivate(activation)
  }

  func reset() {
    onReset()
    state.withLock { $0.resets += 1 }
  }

  func suspend() {}
  func resume() {}
  func snapshot() throws -> [UInt8] { state.withLock { $0.configuration } }
  func restore(_ bytes: [UInt8]) throws { state.withLock { $0.restored = bytes } }

  var activation: VirtioActivation? { state.withLock { $0.activations.last } }
  var activationCount: Int { state.withLock { $0.activations.count } }
  var resetCount: Int { state.withLock { $0.resets } }
}

/// Notes which events are attached where.
final class FakeDoorbells: DoorbellRegistrar {
  struct Refusal: Error {}

  private let table = Mutex<[UInt64: Int32]>([:])
  let refuses = Atomic<Bool>(false)

  func attach(event: Int32, at address: UInt64) throws {
    if refuses.load(ordering: .relaxed) { throw Refusal() }
    try table.withLock { table in
      if table[address] != nil { throw Refusal() }
      table[address] = event
    }
  }

  func detach(event: Int32, at address: UInt64) throws {
    try table.withLock { table in
      if table[address] != event { throw Refusal() }
      table[address] = nil
    }
  }

  var attached: [UInt64] { table.withLock { $0.keys.sorted() } }
}

/// Message interrupts that count.
final class FakeMessages: MessageInterruptAllocator {
  final class Message: MessageInterrupt {
    let event: EventFD
    let data = Atomic<UInt32>(0)
    init() throws { event = try EventFD() }
    func route(_ message: InterruptMessage) throws { data.store(message.data, ordering: .relaxed) }
  }

  private let list = Mutex<[Message]>([])

  func makeMessageInterrupt() throws -> any MessageInterrupt {
    let made = try Message()
    list.withLock { $0.append(made) }
    return made
  }

  /// How often the message with this data was sent since the last call.
  func sent(_ data: UInt32) -> UInt64 {
    list.withLock { list in list.filter { $0.data.load(ordering: .relaxed) == data }.reduce(0) { $0 + $1.event.drain() } }
  }
}

/// Says nothing; hostile guests make devices talk.
let silence = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
