internal import Interrupts
internal import Logging
internal import PCI
package import Sandbox

/// Reads a packet as those do who get it from another process: the first byte chooses who, the rest is the packet.
///
/// Whatever the bytes are: what is understood is understood again when it is sent on.
public func fuzzDeviceMessage(_ bytes: [UInt8]) {
  guard let choice = bytes.first else { return }
  let packet = Array(bytes.dropFirst())
  switch choice % 4 {
  case 0: checkAgain(try? DeviceMessage(packet), \.encoded) { try DeviceMessage($0) }
  case 1: fuzzEvent(packet)
  case 2: checkAgain(try? LauncherReport(packet), \.encoded) { try LauncherReport($0) }
  default: fuzzWordsOfTheVMM(packet)
  }
}

private func checkAgain<Message: Equatable>(_ message: Message?, _ encode: (Message) -> [UInt8], _ read: ([UInt8]) throws -> Message) {
  guard let message else { return }
  precondition((try? read(encode(message))) == message, "a message survives its encoding")
}

private func fuzzEvent(_ packet: [UInt8]) {
  guard let event = try? DeviceEvent(packet) else { return }
  // The replacement of a wrong byte takes three, and long lines are cut.
  if packet.count <= DeviceEvent.longestLine / 3 { checkAgain(event, \.encoded) { try DeviceEvent($0) } }
  guard case .violation(let violation) = event else { return }
  precondition(!violation.sentence(of: "it", policies: "block").isEmpty, "a violation has a sentence")
}

/// The device's process reads these; the VMM does not mean ill, but it may be of another mind.
private func fuzzWordsOfTheVMM(_ packet: [UInt8]) {
  checkAgain(try? HostAnswer(packet), \.encoded) { try HostAnswer($0) }
  guard let (request, number) = try? DeviceRequest.decode(packet) else { return }
  guard let copy = try? DeviceRequest.decode(request.encoded(number: number)) else { preconditionFailure("a request survives") }
  precondition(copy == (request, number), "a request survives its encoding")
}

/// What the fuzzing of messages begins with.
public enum DeviceMessageSeeds {
  /// Messages of a device's process.
  package static let messages: [DeviceMessage] =
    [
      .ready((try? [BAR(index: 0, kind: .memory32, size: 0x8000), BAR(index: 4, kind: .memory64, size: 1 << 40)]) ?? []),
      .ready((try? [BAR(index: 5, kind: .ports, size: 256), BAR(index: 1, kind: .memory32, size: 16, isPrefetchable: true)]) ?? []),
      .ready([]), .failed("no image: é"), .failed(""), .value(.max, number: 1), .value(0, number: .max), .bytes([], number: 2),
      .bytes([0, 1, 255], number: 3), .refused("not now", number: 4),
    ] + needs.map { .need($0) }

  /// What a device needs.
  package static let needs: [HostRequest] = [
    .decode(bar: 0, base: 0xd000_0000), .decode(bar: 255, base: nil), .attachDoorbell(address: 0xd000_3000), .detachDoorbell(address: .max),
    .makeMessageInterrupt, .route(vector: 7, InterruptMessage(address: 0xfee0_0000, data: 0x4031)),
  ]

  /// What a device's process tells without being asked.
  package static let events: [DeviceEvent] =
    [.line(.info, "a line"), .line(.trace, ""), .line(.critical, "é"), .attachLine, .text("Fatal error: something")]
    + [Int](arrayLiteral: -1, 0, 231, Int(Int32.max)).map { .violation(Violation(call: $0, arguments: [0, 1, 2, 3, 4, .max])) }

  /// What the launcher tells.
  package static let reports: [LauncherReport] = [
    .refused(name: "block0", reason: "too many processes"), .ended(name: "", reason: ""), .ended(name: "é", reason: "it was killed"),
  ]

  /// What the VMM asks.
  package static let requests: [DeviceRequest] = [
    .readConfiguration(offset: 0, width: 4), .writeConfiguration(offset: .max, width: 255, value: .max), .read(offset: .max, width: 8),
    .write(offset: 0x3000, width: 2, value: .max), .suspend, .resume, .stop, .order([]), .order([1, 2, 3]),
  ]

  /// What the VMM answers.
  package static let answers: [HostAnswer] = [.value(0), .value(.max), .failed(""), .failed("no such doorbell")]

  /// Inputs with all of them.
  public static let packets: [[UInt8]] =
    messages.map { [0] + $0.encoded } + events.map { [1] + $0.encoded } + reports.map { [2] + $0.encoded }
    + requests.enumerated().map { [3] + $1.encoded(number: UInt32($0)) } + answers.map { [3] + $0.encoded }
}
