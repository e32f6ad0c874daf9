public import NetDevice
internal import Virtio
internal import VirtioTesting

/// Feeds bytes to the parser of transmitted frames as a guest would, and checks what it promises.
///
/// The first four bytes choose the features and how the rest is cut into buffers; the rest is the header and the frame, which is made
/// longer by a multiple of 512 bytes.
///
/// - Returns: What was understood; nil when the bytes make no request at all.
@discardableResult
public func fuzzNetTransmit(_ bytes: [UInt8]) -> NetRequest? {
  guard bytes.count >= 4 else { return nil }
  let features = NetTransmitFuzzer.features(bytes[0], bytes[1])
  let frame = bytes.dropFirst(4) + [UInt8](repeating: 0, count: 512 * Int(bytes[3]))
  guard let chain = FuzzChain.make(readable: frame, limit: 90_000, cut: max(Int(bytes[2]) * 31, frame.count / 31) + 1, writable: []) else {
    return nil
  }
  let request = NetRequest(chain, features: features)
  NetTransmitFuzzer.check(request, features, length: Int(chain.readableBytes))
  return request
}

/// The parts of `fuzzNetTransmit`.
private enum NetTransmitFuzzer {
  static func features(_ low: UInt8, _ high: UInt8) -> UInt64 {
    UInt64(low & 1) | UInt64(low & 0x78) << 8 | UInt64(high & 1) << 56
  }

  /// Ends the program when a frame is sent that was not checked.
  static func check(_ request: NetRequest, _ features: UInt64, length: Int) {
    guard case .send(let header, let count) = request else { return }
    precondition(count == length - NetHeader.size && count >= 14 && count <= NetRequest.frameLimit)
    precondition(header.flags & ~1 == 0 && Int(header.headerLength) <= count)
    if header.flags != 0 {
      precondition(features & NetFeatures.checksum != 0)
      precondition(Int(header.checksumStart) + Int(header.checksumOffset) + 2 <= count)
    }
    if header.segmentation == 0 {
      precondition(header.segmentSize == 0)
      return
    }
    precondition(header.flags == 1 && header.segmentSize > 0 && header.segmentSize < .max)
    precondition(header.segmentation == 5 || header.segmentSize >= 8)
    precondition(header.segmentation != 5 || count <= Int(header.checksumStart) + 8 + 128 * Int(header.segmentSize))
    let needed: [UInt8: UInt64] = [
      1: NetFeatures.hostTSO4, 4: NetFeatures.hostTSO6, 3: NetFeatures.hostUFO, 5: NetFeatures.hostUSO,
      0x81: NetFeatures.hostTSO4 | NetFeatures.hostECN, 0x84: NetFeatures.hostTSO6 | NetFeatures.hostECN,
    ]
    guard let feature = needed[header.segmentation] else { preconditionFailure("an unknown way to cut") }
    precondition(features & feature == feature)
  }
}

/// Feeds bytes to the parser of a network card's control queue as a guest would, and checks what it promises.
///
/// The first four bytes choose the features, the number of queues, and how the rest is cut into buffers; the rest is the order.
///
/// - Returns: What was understood.
@discardableResult
public func fuzzNetControl(_ bytes: [UInt8]) -> NetControlRequest? {
  guard bytes.count >= 4 else { return nil }
  let features = UInt64(bytes[0]) << 17 | UInt64(bytes[1])
  let pairLimit = UInt16(bytes[2] & 15) + 1
  guard let chain = FuzzChain.make(readable: bytes.dropFirst(4), cut: Int(bytes[3]) + 1, writable: [1]) else { return nil }
  let request = NetControlRequest(chain, rules: NetControlRequest.Rules(features: features, pairLimit: pairLimit))
  switch request {
  case .filter(let unicast, let groups):
    precondition((unicast?.count ?? 0) <= NetControlRequest.addressLimit && (groups?.count ?? 0) <= NetControlRequest.addressLimit)
  case .address(let address): precondition(address.isUsable)
  case .vlan(let vlan, _): precondition(vlan < 4096)
  case .pairs(let count): precondition(count >= 1 && count <= pairLimit)
  case .offloads(let offloads): precondition(offloads & ~features == 0)
  case .receive, .announced, nil: break
  }
  return request
}

/// What the fuzzers of network cards begin with.
public enum NetSeeds {
  /// A plain frame, one for each way to cut, and one that is too long.
  public static let frames: [[UInt8]] =
    ([0, 1, 3, 4, 5, 0x81] as [UInt8]).map { way in
      [0xff, 0xff, 1, 4] + [way == 0 ? 0 : 1, way, 54, 0, 0xb4, 5, 34, 0, 16, 0, 0, 0] + [UInt8](repeating: 0x45, count: 60)
    } + [[0xff, 0xff, 255, 200] + [UInt8](repeating: 0, count: 72)]

  /// Scripts: frames each way, in pieces and in one, some too long for the socket; lengths that are none; a program that goes.
  public static let streams: [[UInt8]] = [
    "f\u{0}\u{40}r\u{3}AAAAs\u{4}\u{60}\u{2}p\u{10}\u{0}", "f\u{23}\u{28}r\u{1}zzr\u{1}zzr\u{1}zz",
    "s\u{7f}\u{0}\u{9}s\u{0}\u{40}\u{0}gp\u{20}\u{0}gp\u{7f}\u{0}g", "w\u{4}\u{0}\u{0}\u{0}\u{2}r\u{0}Aw\u{2}hir\u{0}A",
    "w\u{4}\u{7f}\u{7f}\u{7f}\u{7f}r\u{0}As\u{0}\u{40}\u{0}", "w\u{4}\u{0}\u{0}\u{0}\u{0}r\u{0}A",
    "f\u{0}\u{40}s\u{0}\u{40}\u{0}er\u{0}Ar\u{0}A",
  ].map { Array($0.utf8) }

  /// An order of each kind.
  public static let orders: [[UInt8]] = [
    [0, 0, 1], [0, 3, 0], [1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
    [1, 1, 2, 0, 0, 0, 0, 9], [2, 0, 5, 0], [2, 1, 5, 0], [3, 0], [4, 0, 2, 0], [5, 0, 2, 0, 0, 0, 0, 0, 0, 0],
  ].map { [0xff, 0xff, 3, 255] + $0 }
}
