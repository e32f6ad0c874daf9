public import BlockDevice
internal import Virtio
internal import VirtioTesting

/// Feeds bytes to the parser of block requests as a guest would, and checks what it promises.
///
/// The first bytes choose the disk's size, the features, and how the rest is cut into buffers; the rest is the request.
///
/// - Returns: What was understood; nil when the bytes make no request at all.
@discardableResult
public func fuzzBlockRequest(_ bytes: [UInt8]) -> BlockRequest? {
  guard bytes.count >= 8 else { return nil }
  let size = BlockRequestFuzzer.sizes[Int(bytes[0]) % BlockRequestFuzzer.sizes.count]
  let features = UInt64(bytes[1]) << 9 | UInt64(bytes[2]) << 5
  let rules = BlockRules(sectorCount: size, isReadOnly: bytes[3] & 1 != 0, features: features)
  let writable = BlockRequestFuzzer.rooms[Int(bytes[4]) % BlockRequestFuzzer.rooms.count]
  guard
    let chain = FuzzChain.make(readable: bytes.dropFirst(8), cut: Int(bytes[5]) + 1, writable: writable)
  else { return nil }
  let request = BlockRequest(chain, rules: rules)
  BlockRequestFuzzer.check(request, rules, chain)
  return request
}

/// The parts of `fuzzBlockRequest`.
enum BlockRequestFuzzer {
  static let sizes: [UInt64] = [1, 8, 2048, 1 << 40, UInt64.max / 512, .max]
  static let rooms: [[Int]] = [[], [1], [512, 1], [513], [20, 1], [3], [4096, 511, 1, 1], [512, 512, 512, 512, 1]]

  /// Ends the program when a request says more than was checked.
  static func check(_ request: BlockRequest, _ rules: BlockRules, _ chain: DescriptorChain) {
    switch request {
    case .read(let offset, let count):
      precondition(count == chain.writableBytes - 1)
      check(offset, count, rules)
    case .write(let offset, let count):
      precondition(!rules.isReadOnly && count == chain.readableBytes - UInt64(BlockRequest.headerSize))
      check(offset, count, rules)
    case .discard(let ranges), .writeZeroes(let ranges):
      precondition(!ranges.isEmpty && ranges.count <= BlockRequest.rangeLimit)
      for range in ranges { check(range.offset, range.count, rules) }
    case .identify(let room): precondition(room >= 0 && room <= BlockConfiguration.idLimit && UInt64(room) < chain.writableBytes)
    case .flush, .answered: precondition(chain.writableBytes > 0)
    case .unanswerable: precondition(chain.writableBytes == 0)
    }
  }

  private static func check(_ offset: UInt64, _ count: UInt64, _ rules: BlockRules) {
    precondition(count > 0 && (offset | count) % BlockRequest.sectorSize == 0)
    let (end, overflow) = offset.addingReportingOverflow(count)
    precondition(!overflow && end / BlockRequest.sectorSize <= rules.sectorCount)
  }
}
