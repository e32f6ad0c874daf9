internal import Bus
internal import Glibc
internal import Interrupts
internal import PCI
internal import Platform

/// The machine as a device's process knows it: asks the VMM over the connection on which the VMM asks the device.
///
/// Every need arises while a request of the VMM is handled, on the server's thread; the VMM, which waits for the answer, serves it meanwhile.
final class MachineLink: BARHost, DoorbellRegistrar, MessageInterruptAllocator {
  private let connection: PacketSocket

  init(_ connection: PacketSocket) { self.connection = connection }

  /// The connection's descriptor, lent.
  var number: Int32 { connection.number }

  /// Sends a message to the VMM.
  func send(_ message: DeviceMessage, descriptors: [Int32] = []) throws(SystemError) {
    try connection.send(message.encoded, descriptors: descriptors)
  }

  /// Waits for the next request; `nil` when the VMM is gone.
  func receive() throws(SystemError) -> [UInt8]? {
    guard case .packet(let packet) = try connection.receive() else { return nil }
    return packet.bytes
  }

  private func ask(_ request: HostRequest, descriptors: [Int32] = []) throws -> (UInt64, [DescriptorBox]) {
    try send(.need(request), descriptors: descriptors)
    guard case .packet(let packet) = try connection.receive() else { throw SystemError("ask the machine", code: EPIPE) }
    switch try HostAnswer(packet.bytes) {
    case .value(let value): return (value, packet.descriptors)
    case .failed(let reason): throw DeviceRefusal(description: reason)
    }
  }

  func decode(bar index: Int, at base: UInt64?) -> Bool {
    (try? ask(.decode(bar: UInt8(clamping: index), base: base)))?.0 == 1
  }

  func attach(event: Int32, at address: UInt64) throws { _ = try ask(.attachDoorbell(address: address), descriptors: [event]) }

  func detach(event: Int32, at address: UInt64) throws { _ = try ask(.detachDoorbell(address: address)) }

  func makeMessageInterrupt() throws -> any MessageInterrupt {
    let (vector, descriptors) = try ask(.makeMessageInterrupt)
    guard let event = descriptors.first?.take() else { throw DeviceRefusal(description: "the machine sent no event") }
    return Vector(number: UInt32(truncatingIfNeeded: vector), event: EventFD(event), link: self)
  }

  private final class Vector: MessageInterrupt {
    let event: EventFD
    private let number: UInt32
    private let link: MachineLink

    init(number: UInt32, event: EventFD, link: MachineLink) {
      self.number = number
      self.event = event
      self.link = link
    }

    func route(_ message: InterruptMessage) throws { _ = try link.ask(.route(vector: number, message)) }
  }
}
