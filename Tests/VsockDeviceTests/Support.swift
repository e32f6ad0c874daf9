import Logging
import Platform
import VirtioTesting
import VsockTesting

@testable import VsockDevice

/// The ports of a connection.
struct GuestConnection: Hashable {
  let port: UInt32
  let hostPort: UInt32
}

extension VsockGuest {
  /// Has a host program connect to a port, and accepts.
  func acceptFromHost(_ bench: VsockBench, port: UInt32, sequenced: Bool = false) throws -> (HostProgram, GuestConnection) {
    try acceptFromHost(path: bench.path, port: port, sequenced: sequenced)
  }

  /// The same, at a path.
  func acceptFromHost(path: String, port: UInt32, sequenced: Bool = false) throws -> (HostProgram, GuestConnection) {
    let program = try HostProgram(
      path: path + (sequenced ? VsockSockets.sequencedSuffix : ""), kind: sequenced ? .sequencedPacket : .stream)
    try program.write("CONNECT \(port)\n")
    let request = try receive(VsockPacket.Operation.request)
    let connection = GuestConnection(port: port, hostPort: request.packet.sourcePort)
    try send(packet(VsockPacket.Operation.response, from: port, to: connection.hostPort, kind: request.packet.kind))
    let line = sequenced ? String(decoding: try program.readSome(), as: UTF8.self) : try program.readLine()
    guard line == "OK \(connection.hostPort)\n" else { throw TestingError.badUsed("the answer \(line)") }
    return (program, connection)
  }

  /// A packet with payload.
  func data(_ payload: [UInt8], on connection: GuestConnection, kind: UInt16 = VsockPacket.Kind.stream, isEnd: Bool = false) throws {
    var packet = packet(VsockPacket.Operation.data, from: connection.port, to: connection.hostPort, kind: kind)
    packet.length = UInt32(payload.count)
    packet.flags = isEnd ? VsockPacket.Flag.endOfMessage : 0
    try send(packet, payload: payload)
  }

  /// Sends a text.
  func send(data text: String, on connection: GuestConnection) throws { try data(Array(text.utf8), on: connection) }

  /// Sends a shutdown.
  func shutDown(_ connection: GuestConnection, _ flags: UInt32) throws {
    var packet = packet(VsockPacket.Operation.shutdown, from: connection.port, to: connection.hostPort)
    packet.flags = flags
    try send(packet)
  }

  /// Tells the device that so many bytes were taken.
  func sendCredit(_ forwarded: UInt32, on connection: GuestConnection) throws {
    var packet = packet(VsockPacket.Operation.creditUpdate, from: connection.port, to: connection.hostPort)
    packet.forwarded = forwarded
    try send(packet)
  }

  /// Waits until the device has done all it can: it answers a packet of no connection after what it did before.
  func settle() throws -> [Received] {
    try send(packet(VsockPacket.Operation.creditUpdate, from: 1, to: 4_000_000_000))
    var before: [Received] = []
    while true {
      let received = try receive()
      if received.packet.sourcePort == 4_000_000_000 { return before }
      before.append(received)
    }
  }
}

/// Bytes that differ from place to place.
func pattern(_ count: Int, seed: Int = 0) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: ($0 &+ seed) &* 31 &+ ($0 >> 8)) } }

/// Plays a guest of a device with other limits, and sockets at a path.
func withLimits(
  _ change: (inout VsockSwitch.Limits) -> Void, logger: Logger = Logger(label: "") { _ in SwiftLogNoOpLogHandler() },
  _ body: (VsockGuest, _ path: String) throws -> Void
) throws {
  let bench = try VsockBench()
  let path = bench.folder + "/small"
  let sockets = try VsockSockets(path: path)
  var limits = VsockSwitch.Limits()
  change(&limits)
  let table = VsockSwitch(
    context: VsockGuest.context,
    listeners: [.init(box: DescriptorBox(try OwnedDescriptor.duplicate(sockets.stream.number)), isSequenced: false)],
    connector: DirectConnector(prefix: path + "_"), limits: limits, logger: logger)
  try withActivatedDevice(VsockDevice(context: VsockGuest.context, table: table)) { try body(try VsockGuest($0), path) }
}
