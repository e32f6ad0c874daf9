import GuestMemory
import Logging
import NetDevice
import NetTesting
import Platform
import Testing
import Virtio
import VirtioTesting

/// The queues of a card with one pair.
enum Queue {
  static let receive = 0
  static let transmit = 1
  static let control = 2
}

let guestMAC = MACAddress(rawValue: 0x02_00_00_00_00_01)

func littleEndian<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
  (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> T(8 * $0)) }
}

/// A frame to somebody, with bytes that tell it from others.
func frame(to destination: MACAddress = guestMAC, vlan: UInt16? = nil, count: Int = 60, seed: Int = 0) -> [UInt8] {
  var bytes = destination.bytes + [2, 0, 0, 0, 0, 9]
  if let vlan { bytes += [0x81, 0x00, UInt8(vlan >> 8), UInt8(vlan & 255)] }
  bytes += [0x08, 0x00]
  let line = (0..<256).map { UInt8(truncatingIfNeeded: $0 &* 5 &+ seed) }
  while bytes.count < count { bytes += line.prefix(count - bytes.count) }
  return bytes
}

/// A header that asks for nothing.
let plainHeader = NetHeader().bytes

/// A header that asks for a checksum and, perhaps, to be cut.
func header(
  flags: UInt8 = 0, way: UInt8 = 0, headerLength: UInt16 = 0, size: UInt16 = 0, start: UInt16 = 0, offset: UInt16 = 0
) -> [UInt8] {
  [flags, way] + littleEndian(headerLength) + littleEndian(size) + littleEndian(start) + littleEndian(offset) + [0, 0]
}

/// A frame as the guest received it.
struct ReceivedFrame {
  let header: [UInt8]
  let bytes: [UInt8]
  /// How many buffers it filled.
  let buffers: Int
}

extension ActivatedDevice {
  /// Gives the card buffers to receive into.
  func offer(_ sizes: [Int], pair: Int = 0) throws { for size in sizes { _ = try submit(2 * pair, writable: [size]) } }

  /// Waits for the next frame. All its buffers must be there at once (section 5.1.6.4).
  func receiveFrame(pair: Int = 0) throws -> ReceivedFrame {
    let first = try wait(2 * pair)
    try #require(first.bytes.count >= 12)
    let buffers = Int(first.bytes[10]) | Int(first.bytes[11]) << 8
    var bytes = first.bytes
    for _ in 1..<max(1, buffers) { bytes += try #require(try poll(2 * pair), "a buffer of the frame is missing").bytes }
    return ReceivedFrame(header: Array(bytes.prefix(12)), bytes: Array(bytes.dropFirst(12)), buffers: buffers)
  }

  /// Sends a frame, cut into pieces, and waits until its buffers come back.
  func sendFrame(_ pieces: [[UInt8]], pair: Int = 0, indirect: Bool = false) throws {
    let completion = try perform(2 * pair + 1, readable: pieces, indirect: indirect)
    #expect(completion.written == 0)
  }

  /// Gives an order, and returns whether it was done.
  func order(_ bytes: [UInt8], queue: Int = Queue.control) throws -> Bool {
    let completion = try perform(queue, readable: [bytes], writable: [1])
    try #require(completion.bytes.count == 1)
    return completion.bytes[0] == 0
  }

  /// A plain frame goes each way.
  func expectAlive(_ network: FakeNetwork, sourceLocation: SourceLocation = #_sourceLocation) throws {
    try sendFrame([plainHeader, frame(seed: 77)])
    #expect(network.receive() == plainHeader + frame(seed: 77), sourceLocation: sourceLocation)
    try offer([2048])
    #expect(network.send(plainHeader + frame(seed: 78)), sourceLocation: sourceLocation)
    #expect(try receiveFrame().bytes == frame(seed: 78), sourceLocation: sourceLocation)
  }
}

/// What a ring may be.
struct Variant: CustomTestStringConvertible, Sendable {
  let testDescription: String
  var features = ActivatedDevice.usualFeatures

  static let all = [
    Variant(testDescription: "split ring"),
    Variant(testDescription: "split ring without event index", features: VirtioFeatures.version1),
    Variant(testDescription: "packed ring", features: ActivatedDevice.usualFeatures | VirtioFeatures.packedRing),
  ]
}

/// Runs a guest with a card in a fake network.
func withCard<Result>(
  _ variant: Variant = Variant.all[0], pairs: Int = 1, deviceFeatures: UInt64 = .max, limits: RateLimits = RateLimits(),
  queueSizes: [UInt16]? = nil, logger: Logger = silent, _ body: (ActivatedDevice, FakeNetwork) throws -> Result
) throws -> Result {
  let network = try FakeNetwork(pairs: pairs)
  let device = NetDevice(mac: guestMAC, mtu: 1500, backend: network, limits: limits, logger: logger)
  return try withActivatedDevice(device, features: variant.features, deviceFeatures: deviceFeatures, queueSizes: queueSizes) {
    try body($0, network)
  }
}

let silent = Logger(label: "silent") { _ in SwiftLogNoOpLogHandler() }
