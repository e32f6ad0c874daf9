public import Bus
public import Interrupts
public import PCI
internal import Platform
internal import Synchronization

/// A PCI device whose registers are in a process of its own: hands the guest's accesses over and serves what the device needs.
///
/// What the process asks for is checked as if the guest had asked: it may be as hostile.
public final class DeviceProxy: PCIDevice, BusDevice {
  /// The most events that a device may have at a time: doorbells of queues, and vectors.
  private static let eventLimit = 256

  private struct Placement {
    var bars: [Int: BusRange] = [:]
    var doorbells: [UInt64: DescriptorBox] = [:]
    var vectors: [any MessageInterrupt] = []

    /// Whether the device answers a driver's notifications at an address.
    func contains(_ address: UInt64) -> Bool { bars.values.contains { $0.contains(address, width: 2) } }
  }

  /// The device's name.
  public let name: String
  /// The registers, as the device's process said.
  public let bars: [BAR]
  private let channel: DeviceChannel
  private let machine: MachineServices
  private let barHost = Mutex<(any BARHost)?>(nil)
  private let placement = Mutex(Placement())
  /// Whether the device was told to hold still and not yet to go on.
  private let owesResumption = Atomic<Bool>(false)

  package init(name: String, bars: [BAR], channel: DeviceChannel, machine: MachineServices) {
    self.name = name
    self.bars = bars
    self.channel = channel
    self.machine = machine
    channel.setHost { [weak self] request, descriptors in
      guard let self else { return (.failed("the machine is gone"), nil) }
      do { return try self.serve(request, descriptors) } catch { return (.failed("\(error)"), nil) }
    }
  }

  // MARK: The guest's accesses

  /// Keeps who moves the range.
  public func connect(_ host: any BARHost) { barHost.withLock { $0 = host } }

  /// This object.
  public func busDevice(forBAR index: Int) -> any BusDevice { self }

  /// Asks the device; all ones where it does not answer.
  public func readConfiguration(offset: Int, width: Int) -> UInt32 {
    let request = DeviceRequest.readConfiguration(offset: UInt16(clamping: offset), width: UInt8(clamping: width))
    guard case .value(let value, _)? = ask(request) else { return .max }
    return UInt32(truncatingIfNeeded: value)
  }

  /// Tells the device.
  public func writeConfiguration(offset: Int, width: Int, value: UInt32) {
    _ = ask(.writeConfiguration(offset: UInt16(clamping: offset), width: UInt8(clamping: width), value: value))
  }

  /// Asks the device; all ones where it does not answer.
  public func read(offset: UInt64, width: Int) -> UInt64 {
    guard case .value(let value, _)? = ask(.read(offset: offset, width: UInt8(clamping: width))) else { return .max }
    return value
  }

  /// Tells the device.
  public func write(offset: UInt64, width: Int, value: UInt64) {
    _ = ask(.write(offset: offset, width: UInt8(clamping: width), value: value))
  }

  // MARK: The machine's wishes

  /// Holds the device still, with its requests answered.
  ///
  /// - Returns: Whether it is: not when its process does not answer.
  public func holdStill() -> Bool { channel.call(.suspend) != nil }

  /// Ends `holdStill`; a device that does not hear it now is told before the next access.
  public func goOn() { owesResumption.store(channel.call(.resume) == nil, ordering: .relaxed) }

  /// Makes accesses give up waiting: the machine ends.
  public func endAccesses() { channel.end() }

  /// Asks the device, which is told first what it has missed.
  private func ask(_ request: DeviceRequest) -> DeviceMessage? {
    if owesResumption.load(ordering: .relaxed) {
      goOn()
      if owesResumption.load(ordering: .relaxed) { return nil }
    }
    return channel.call(request)
  }

  /// Ends the device and its process.
  ///
  /// - Parameter milliseconds: How long to wait for that.
  public func stop(within milliseconds: Int32) {
    _ = channel.call(.stop, milliseconds: milliseconds)
    placement.withLock { placement in
      for (address, event) in placement.doorbells { try? machine.doorbells?.detach(event: event.number, at: address) }
      placement.doorbells = [:]
    }
  }

  /// Carries an order of the user to the device; see `VirtioDevice.perform`.
  ///
  /// - Throws: `DeviceRefusal`.
  public func perform(_ order: [UInt8]) throws -> [UInt8] {
    switch ask(.order(order)) {
    case .bytes(let bytes, _)?: return bytes
    case .refused(let reason, _)?: throw DeviceRefusal(description: reason)
    default: throw DeviceRefusal(description: "the process of \(name) does not answer")
    }
  }

  // MARK: The device's needs

  private func serve(_ request: HostRequest, _ descriptors: [DescriptorBox]) throws -> (HostAnswer, Int32?) {
    switch request {
    case .decode(let index, let base): return (.value(decode(Int(index), base) ? 1 : 0), nil)
    case .attachDoorbell(let address):
      try attachDoorbell(address, descriptors)
      return (.value(0), nil)
    case .detachDoorbell(let address):
      try detachDoorbell(address)
      return (.value(0), nil)
    case .makeMessageInterrupt:
      let vector = try placement.withLock { placement in
        guard placement.vectors.count < Self.eventLimit else { throw DeviceRefusal(description: "the device has enough vectors") }
        placement.vectors.append(try machine.messages.makeMessageInterrupt())
        return placement.vectors.count - 1
      }
      return (.value(UInt64(vector)), placement.withLock { $0.vectors[vector].event.number })
    case .route(let vector, let message):
      let vectors = placement.withLock { $0.vectors }
      guard vectors.indices.contains(Int(vector)) else { throw DeviceRefusal(description: "the device has no vector \(vector)") }
      try vectors[Int(vector)].route(message)
      return (.value(0), nil)
    }
  }

  private func decode(_ index: Int, _ base: UInt64?) -> Bool {
    guard let bar = bars.first(where: { $0.index == index }), let host = barHost.withLock({ $0 }) else { return false }
    let isPlaced = host.decode(bar: index, at: base)
    placement.withLock { placement in
      placement.bars[index] = isPlaced ? base.flatMap { BusRange(base: $0, length: bar.size) } : nil
      // They would take the writes meant for whoever comes to the old place. A device that moves in good order detaches them itself.
      for (address, event) in placement.doorbells where !placement.contains(address) {
        placement.doorbells[address] = nil
        try? machine.doorbells?.detach(event: event.number, at: address)
      }
    }
    return isPlaced
  }

  /// A doorbell must be in a range where the device answers: else it would take the writes meant for others.
  private func attachDoorbell(_ address: UInt64, _ descriptors: [DescriptorBox]) throws {
    guard let event = descriptors.first, let registrar = machine.doorbells else { throw DeviceRefusal(description: "no doorbell") }
    try placement.withLock { placement in
      guard placement.contains(address) else {
        throw DeviceRefusal(description: "the device does not answer at 0x\(String(address, radix: 16))")
      }
      guard placement.doorbells[address] == nil, placement.doorbells.count < Self.eventLimit else {
        throw DeviceRefusal(description: "the device has that doorbell, or too many")
      }
      try registrar.attach(event: event.number, at: address)
      placement.doorbells[address] = event
    }
  }

  private func detachDoorbell(_ address: UInt64) throws {
    try placement.withLock { placement in
      guard let event = placement.doorbells.removeValue(forKey: address) else { throw DeviceRefusal(description: "no such doorbell") }
      try machine.doorbells?.detach(event: event.number, at: address)
    }
  }
}

/// What a device in another process may ask the machine for.
public struct MachineServices: Sendable {
  /// Attaches doorbells.
  public var doorbells: (any DoorbellRegistrar)?
  /// Makes interrupts.
  public var messages: any MessageInterruptAllocator

  /// Gathers them.
  public init(doorbells: (any DoorbellRegistrar)?, messages: any MessageInterruptAllocator) {
    self.doorbells = doorbells
    self.messages = messages
  }
}

/// Why a device's process or the machine did not do what the other asked for.
public struct DeviceRefusal: Error, Equatable, Sendable, CustomStringConvertible {
  /// In words.
  public let description: String
}
