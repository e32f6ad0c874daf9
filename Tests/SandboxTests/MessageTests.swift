import GuestMemory
import Interrupts
import Logging
import PCI
import Platform
import SandboxTesting
import Testing
import VirtioTesting

@testable import Sandbox

@Suite struct MessageTests {
  /// Every message, and what reads it, with an encoding of what was read.
  private static let all: [(packet: [UInt8], again: @Sendable ([UInt8]) throws -> [UInt8])] =
    DeviceMessageSeeds.messages.map { ($0.encoded, { try DeviceMessage($0).encoded }) }
    + DeviceMessageSeeds.reports.map { ($0.encoded, { try LauncherReport($0).encoded }) }
    + DeviceMessageSeeds.answers.map { ($0.encoded, { try HostAnswer($0).encoded }) }
    + DeviceMessageSeeds.requests.map { ($0.encoded(number: 0x0102_0304), { try requestAgain($0) }) }
    + orders.map { ($0.encoded, { try LauncherOrder($0).encoded }) }

  private static let orders: [LauncherOrder] = [
    .settle, .removeAtEnd(path: "/run/é", device: .max, file: 1), .launch(specification()), .launch(specification(regions: 0)),
  ]

  private static func requestAgain(_ packet: [UInt8]) throws -> [UInt8] {
    let (request, number) = try DeviceRequest.decode(packet)
    return request.encoded(number: number)
  }

  private static func specification(regions: Int = 2) -> DeviceSpecification {
    DeviceSpecification(
      name: "block0", kind: "block", offersPackedRing: true, hasLine: false, level: .critical,
      regions: (0..<regions).map { (GuestAddress(UInt64($0) << 32), 1 << 30) }, rings: [256, 4],
      connectors: ["/run/é_"], extraDescriptors: 9000, extraMemory: 4 << 30, program: [6, 0, 0, 0, 0, 0, 255, 127],
      connectorProgram: [9], blueprint: [1, 2, 3])
  }

  @Test func everyMessageIsReadAsItWasSent() throws {
    for (packet, again) in Self.all { #expect(try again(packet) == packet) }
    for message in DeviceMessageSeeds.messages { #expect(try DeviceMessage(message.encoded) == message) }
    for event in DeviceMessageSeeds.events { #expect(try DeviceEvent(event.encoded) == event) }
    for report in DeviceMessageSeeds.reports { #expect(try LauncherReport(report.encoded) == report) }
    for answer in DeviceMessageSeeds.answers { #expect(try HostAnswer(answer.encoded) == answer) }
    for request in DeviceMessageSeeds.requests {
      let (read, number) = try DeviceRequest.decode(request.encoded(number: .max))
      #expect(read == request && number == .max)
    }
  }

  @Test func everySpecificationIsReadAsItWasSent() throws {
    guard case .launch(let read) = try LauncherOrder(LauncherOrder.launch(Self.specification()).encoded) else {
      Issue.record("it is another order")
      return
    }
    #expect(read.name == "block0" && read.kind == "block" && read.offersPackedRing && !read.hasLine && read.level == .critical)
    #expect(read.regions.map(\.base.rawValue) == [0, 1 << 32] && read.regions.map(\.size) == [1 << 30, 1 << 30])
    #expect(read.connectors == ["/run/é_"] && read.extraDescriptors == 9000 && read.connectorProgram == [9])
    #expect(read.program.count == 8 && read.blueprint == [1, 2, 3])
  }

  @Test func aCutMessageIsRefused() {
    for (packet, again) in Self.all {
      for count in 0..<packet.count { #expect(throws: (any Error).self) { try again(Array(packet.prefix(count))) } }
    }
  }

  @Test func aMessageThatGoesOnIsRefused() {
    for (packet, again) in Self.all { #expect(throws: (any Error).self) { try again(packet + [0]) } }
  }

  @Test func aCutEventIsRefusedOrText() {
    for event in DeviceMessageSeeds.events {
      if case .text = event { continue }
      for count in 0..<event.encoded.count {
        #expect(throws: MalformedBytes.self) { try DeviceEvent(Array(event.encoded.prefix(count))) }
      }
      #expect(throws: MalformedBytes.self) { try DeviceEvent(event.encoded + [0]) }
    }
  }

  @Test(arguments: 0..<8) func randomBytesAreReadOrRefused(_ seed: UInt64) {
    var generator = SplitMix(state: seed)
    for round in 0..<1000 {
      var packet = randomBytes(round % 128, using: &generator)
      if !packet.isEmpty { packet[0] %= 24 }
      for (_, again) in Self.all.prefix(1) + Self.all.suffix(1) { _ = try? again(packet) }
      _ = try? HostAnswer([0x80] + packet)
      _ = try? DeviceEvent(packet)
      _ = try? LauncherReport(packet)
      _ = try? DeviceRequest.decode(packet)
      _ = try? Violation(packet)
    }
  }

  @Test(
    "Registers that no function has are refused",
    arguments: [
      // Kind, index and size of each.
      [(0, 6, 16)], [(0, 0, 15)], [(0, 0, 0)], [(0, 0, 24)], [(3, 0, 16)], [(255, 0, 16)], [(1, 5, 16)], [(1, 0, 1 << 63)], [(2, 0, 512)],
      [(0, 0, 1 << 32)], [(0, 255, 16)], [(0, 1, 16), (0, 1, 16)], [(1, 0, 16), (0, 1, 16)], [(2, 5, 16), (1, 4, 16)],
    ] as [[(UInt8, UInt8, UInt64)]])
  func wrongRegisters(_ registers: [(kind: UInt8, index: UInt8, size: UInt64)]) {
    var writer = ByteWriter()
    writer.put(UInt8(0))
    writer.put(UInt8(registers.count))
    for register in registers {
      writer.put(register.index)
      writer.put(register.kind)
      writer.put(register.size)
      writer.put(false)
    }
    #expect(throws: (any Error).self) { try DeviceMessage(writer.bytes) }
  }

  @Test func aCountThatIsTooLargeIsRefused() {
    // Kind and number of a text, then a length that the packet does not have.
    for length in [1, 0x7fff_ffff, 0xffff_ffff] as [UInt32] {
      var writer = ByteWriter()
      writer.put(UInt8(3))
      writer.put(UInt32(1))
      writer.put(length)
      #expect(throws: MalformedBytes.self) { try DeviceMessage(writer.bytes) }
    }
  }

  @Test func aLongLineIsCut() throws {
    let long = String(repeating: "é", count: DeviceEvent.longestLine)
    guard case .line(.info, let text) = try DeviceEvent(DeviceEvent.line(.info, long).encoded) else {
      Issue.record("it is another event")
      return
    }
    #expect(text == long.prefix(DeviceEvent.longestLine / 2))
    #expect(DeviceEvent.line(.info, long).encoded.count <= PacketSocket.largestPacket)
  }

  @Test func unknownLevelsAreRefused() {
    #expect(throws: MalformedBytes.self) { try DeviceEvent([DeviceEvent.lineKind, UInt8(Logger.Level.allCases.count), 0, 0, 0, 0]) }
    #expect(throws: MalformedBytes.self) { try DeviceEvent([DeviceEvent.lineKind, 255, 0, 0, 0, 0]) }
  }

  @Test func descriptorsThatAreMissingAreNoticed() throws {
    let boxes = try (0..<7).map { _ in DescriptorBox(try OwnedDescriptor.open("/dev/null", flags: 0)) }
    for count in 0..<5 { #expect(throws: MalformedBytes.self) { try DeviceDescriptors(Array(boxes.prefix(count))) } }
    let all = try DeviceDescriptors(boxes)
    #expect(all.requests === boxes[0] && all.line.resample === boxes[4] && all.device.count == 2 && all.device[1] === boxes[6])
  }
}
