import Bus
import Interrupts
import PCI
import Platform
import Synchronization

/// Message interrupts that remember what was routed where, and can be told to fail.
final class FakeMessages: MessageInterruptAllocator {
  struct Refusal: Error {}

  final class Message: MessageInterrupt {
    let event: EventFD
    let routes = Mutex<[InterruptMessage]>([])
    let refuses: @Sendable () -> Bool

    init(refuses: @escaping @Sendable () -> Bool) throws {
      event = try EventFD()
      self.refuses = refuses
    }

    func route(_ message: InterruptMessage) throws {
      if refuses() { throw Refusal() }
      routes.withLock { $0.append(message) }
    }
  }

  private let list = Mutex<[Message]>([])
  let refusesToMake = Atomic<Bool>(false)
  let refusesToRoute = Atomic<Bool>(false)

  func makeMessageInterrupt() throws -> any MessageInterrupt {
    if refusesToMake.load(ordering: .relaxed) { throw Refusal() }
    let made = try Message { [weak self] in self?.refusesToRoute.load(ordering: .relaxed) ?? true }
    list.withLock { $0.append(made) }
    return made
  }

  var made: [Message] { list.withLock { $0 } }
}

/// A device with registers and nothing behind them.
final class PlainDevice: PCIDevice, BusDevice {
  struct State {
    var space: PCIConfigurationSpace
    var decoding = BARDecoding()
  }

  let name = "plain"
  let bars: [BAR]
  let state: Mutex<State>

  init(bars: [BAR] = [], pin: Int? = nil) throws {
    self.bars = bars
    var space = PCIConfigurationSpace(identity: PCIIdentity(vendor: 0x1234, device: 0x5678, classCode: 0xff0000))
    for bar in bars { try space.add(bar) }
    if let pin { space.setInterruptPin(pin) }
    state = Mutex(State(space: space))
  }

  func connect(_ host: any BARHost) {
    state.withLock {
      $0.decoding.connect(host)
      $0.decoding.update(from: $0.space)
    }
  }

  func busDevice(forBAR index: Int) -> any BusDevice { self }

  func readConfiguration(offset: Int, width: Int) -> UInt32 { state.withLock { $0.space.read(offset: offset, width: width) } }

  func writeConfiguration(offset: Int, width: Int, value: UInt32) {
    state.withLock { state in
      if state.space.write(offset: offset, width: width, value: value).contains(.decoding) { state.decoding.update(from: state.space) }
    }
  }

  func read(offset: UInt64, width: Int) -> UInt64 { 0xa5a5_a5a5_a5a5_a5a5 }
  func write(offset: UInt64, width: Int, value: UInt64) {}

  func base(_ index: Int) -> UInt64? { state.withLock { $0.decoding.base(ofBAR: index) } }
}

/// RAM, or another device that the guest must not displace.
final class Obstacle: BusDevice {
  func read(offset: UInt64, width: Int) -> UInt64 { 0x11 }
  func write(offset: UInt64, width: Int, value: UInt64) {}
}

func range(_ base: UInt64, _ length: UInt64) throws -> BusRange {
  guard let range = BusRange(base: base, length: length) else { throw FakeMessages.Refusal() }
  return range
}

/// A small machine: buses, windows, a root.
struct TestMachine {
  let memory = Bus()
  let ports = Bus()
  let root: PCIRoot

  init() throws {
    root = PCIRoot(
      memory: memory, ports: ports,
      windows: PCIWindows(
        memory32: try range(0xd000_0000, 0x2000_0000), memory64: try range(0x10_0000_0000, 0x10_0000_0000), ports: try range(0xc000, 0x1000)
      ))
  }

  /// What a guest reads at an address.
  func load(_ address: UInt64, width: Int = 4) -> UInt64 {
    var view = BusView(memory)
    return view.read(address, width: width)
  }
}
