internal import Bus
internal import Logging
internal import Synchronization

/// The root's side of one device's base address registers: keeps the device's ranges on the machine's buses.
final class BARPlacement: BARHost {
  private struct State {
    /// The device holds this object too; `close` parts them. A weak reference would make every exit to the device slower.
    var device: (any PCIDevice)?
    /// What is on a bus now, by register.
    var placed: [Int: BusRange] = [:]
    var hasLogged = false
  }

  private let name: String
  private let bars: [BAR]
  private let memory: Bus
  private let ports: Bus
  private let windows: PCIWindows
  private let logger: Logger
  private let state: Mutex<State>

  init(device: any PCIDevice, memory: Bus, ports: Bus, windows: PCIWindows, logger: Logger) {
    name = device.name
    bars = device.bars
    self.memory = memory
    self.ports = ports
    self.windows = windows
    self.logger = logger
    state = Mutex(State(device: device))
  }

  func decode(bar index: Int, at base: UInt64?) -> Bool {
    guard let bar = bars.first(where: { $0.index == index }) else { return false }
    return state.withLock { state in
      if let old = state.placed.removeValue(forKey: index) { remove(bar, at: old) }
      guard let base else { return true }
      guard let device = state.device else { return false }
      guard let range = BusRange(base: base, length: bar.size), base % bar.size == 0, windows.allow(range, for: bar.kind) else {
        refuse(bar, base, "it is outside the machine's windows for devices", &state)
        return false
      }
      do { try bus(of: bar).insert(device.busDevice(forBAR: index), at: range) } catch {
        refuse(bar, base, "\(error)", &state)
        return false
      }
      state.placed[index] = range
      return true
    }
  }

  /// Takes everything off the buses, for good, and lets go of the device.
  func close() {
    state.withLock { state in
      for (index, range) in state.placed {
        if let bar = bars.first(where: { $0.index == index }) { remove(bar, at: range) }
      }
      state.placed = [:]
      state.device = nil
    }
  }

  private func bus(of bar: BAR) -> Bus { bar.kind == .ports ? ports : memory }

  private func remove(_ bar: BAR, at range: BusRange) {
    // The range was inserted by this object, which alone removes it: there is nothing to do about an error.
    try? bus(of: bar).remove(at: range)
  }

  /// Says once for each device that the guest asked for the impossible; more would let it fill the log.
  private func refuse(_ bar: BAR, _ base: UInt64, _ reason: String, _ state: inout State) {
    // A register full of ones is a guest that asks for the size without turning decoding off first: no mistake, only untidy.
    let isSizing = UInt32(truncatingIfNeeded: base | (bar.size - 1)) == .max
    guard !state.hasLogged, !isSizing else { return }
    state.hasLogged = true
    logger.warning("\(name): the guest cannot move register \(bar.index) to 0x\(String(base, radix: 16)): \(reason)")
  }
}
