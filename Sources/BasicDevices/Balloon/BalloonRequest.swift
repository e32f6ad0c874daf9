internal import GuestMemory
internal import Platform
internal import Virtio

/// What a driver of the balloon says (virtio 1.2, sections 5.5.6 and 5.5.6.7).
enum BalloonRequest {
  /// The unit of the device, whatever the pages of guest and host are.
  static let pageSize: UInt64 = 4096
  /// The most bytes of page numbers or statistics that are looked at in one request: Linux sends at most 1024.
  static let sizeLimit: UInt64 = 64 << 10

  /// The ranges of memory whose page numbers, 32 bits each, a chain's readable buffers hold; neighbours become one.
  static func ranges(of chain: DescriptorChain) throws(ChainError) -> [(address: UInt64, count: UInt64)] {
    let bytes = try bytes(of: chain)
    var ranges: [(address: UInt64, count: UInt64)] = []
    for index in stride(from: 0, to: bytes.count - 3, by: 4) {
      let number = bytes[index..<index + 4].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      // No overflow: a number has 32 bits.
      let address = number * pageSize
      if let last = ranges.last, last.address + last.count == address {
        ranges[ranges.count - 1].count += pageSize
      } else if let last = ranges.last, last.address == address + pageSize {
        // Linux takes pages from the top of its memory downwards.
        ranges[ranges.count - 1] = (address, last.count + pageSize)
      } else {
        ranges.append((address, pageSize))
      }
    }
    return ranges
  }

  /// The statistics in a chain's readable buffers: tags of 16 and values of 64 bits.
  static func statistics(of chain: DescriptorChain) throws(ChainError) -> [UInt16: UInt64] {
    let bytes = try bytes(of: chain)
    var values: [UInt16: UInt64] = [:]
    for index in stride(from: 0, to: bytes.count - 9, by: 10) {
      let tag = UInt16(bytes[index]) | UInt16(bytes[index + 1]) << 8
      // Tags that the specification does not know are not kept.
      guard tag < BalloonStatistics.tagCount else { continue }
      values[tag] = bytes[index + 2..<index + 10].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    }
    return values
  }

  private static func bytes(of chain: DescriptorChain) throws(ChainError) -> [UInt8] {
    var bytes: [UInt8] = []
    try chain.copyReadable(offset: 0, count: Int(min(chain.readableBytes, sizeLimit)), into: &bytes)
    return bytes
  }
}

/// How a guest uses its memory, as its driver says (section 5.5.6.4). What the driver did not say is `nil`.
public struct BalloonStatistics: Equatable, Sendable {
  /// The tags of the specification, in their order, under the names that crosvm prints.
  private static let names = [
    "swap_in", "swap_out", "major_faults", "minor_faults", "free_memory", "total_memory", "available_memory", "disk_caches",
    "hugetlb_allocations", "hugetlb_failures",
  ]
  static let tagCount = UInt16(10)

  /// The values by their tags; of memory in bytes.
  let values: [UInt16: UInt64]

  /// How many bytes the balloon holds.
  public let balloonBytes: UInt64

  init(values: [UInt16: UInt64], balloonBytes: UInt64) {
    self.values = values
    self.balloonBytes = balloonBytes
  }

  /// Writes them, for `init`.
  func encode(to writer: inout ByteWriter) {
    writer.put(balloonBytes)
    for (tag, value) in values.sorted(by: { $0.key < $1.key }) {
      writer.put(tag)
      writer.put(value)
    }
  }

  /// Reads what `encode` wrote.
  ///
  /// - Throws: `MalformedBytes`.
  init(_ bytes: [UInt8]) throws(MalformedBytes) {
    var reader = ByteReader(bytes)
    balloonBytes = try reader.get()
    var values: [UInt16: UInt64] = [:]
    // Each of the rest takes ten bytes.
    for _ in 0..<(bytes.count - 8) / 10 { values[try reader.get()] = try reader.get(UInt64.self) }
    try reader.finish()
    self.values = values
  }

  /// As today's crosvm prints them, in one line.
  public var json: String {
    let fields = BalloonStatistics.names.indices.map { index in
      "\"\(BalloonStatistics.names[index])\": \(values[UInt16(index)].map { String($0) } ?? "null")"
    }
    // Linux's driver does not tell these two.
    let stats = (fields + ["\"shared_memory\": null", "\"unevictable_memory\": null"]).joined(separator: ", ")
    return "{\"BalloonStats\": {\"stats\": {\(stats)}, \"balloon_actual\": \(balloonBytes)}}"
  }
}
