/// What follows the fixed part of the header (qcow2 specification, "Header extensions").
extension Qcow2Header {
  /// The extensions' types.
  enum Extension {
    static let end: UInt32 = 0
    static let backingFormat: UInt32 = 0xe279_2aca
    static let featureNames: UInt32 = 0x6803_f857
    static let bitmaps: UInt32 = 0x2385_2875
    static let encryption: UInt32 = 0x0537_be77
    static let externalData: UInt32 = 0x4441_5441
  }

  /// Goes through the extensions until `body` has seen all.
  private func forEachExtension(
    _ reader: BigEndian, _ body: (_ type: UInt32, _ data: [UInt8]) throws(Qcow2Problem) -> Void
  ) throws(Qcow2Problem) {
    // The extensions end where the name of the backing file begins, or with the cluster.
    let named = reader.word64(8) ?? 0
    let end = named > 0 && named < UInt64(reader.count) ? Int(named) : min(reader.count, 1 << clusterBits)
    var offset = Int(headerLength)
    while offset + 8 <= end, let type = reader.word32(offset), type != Extension.end {
      guard let count = reader.word32(offset + 4), Int(count) <= end - offset - 8, let data = reader.slice(offset + 8, Int(count)) else {
        throw .extensions
      }
      try body(type, data)
      offset += 8 + (Int(count) + 7) / 8 * 8
    }
  }

  mutating func readExtensions(_ reader: BigEndian) throws(Qcow2Problem) {
    var format: String?
    var bitmaps: [UInt8]?
    var dataName: String?
    var hasKey = false
    try forEachExtension(reader) { type, data throws(Qcow2Problem) in
      switch type {
      case Extension.backingFormat: format = String(decoding: data, as: UTF8.self)
      case Extension.bitmaps: bitmaps = data
      case Extension.encryption: hasKey = true
      case Extension.externalData: dataName = String(decoding: data, as: UTF8.self)
      default: break
      }
    }
    backingFormat = format
    self.bitmaps = bitmaps
    self.dataName = dataName
    if hasKey, encryption == nil { encryption = "unknown" }
  }

  mutating func readBackingName(_ reader: BigEndian) throws(Qcow2Problem) {
    guard let offset = reader.word64(8), let count = reader.word32(16) else { throw .truncated }
    guard offset != 0 else { return }
    guard count <= Qcow2Header.backingNameLimit, offset >= UInt64(headerLength), offset <= 1 << UInt64(clusterBits),
      offset + UInt64(count) <= 1 << UInt64(clusterBits)
    else { throw .backingName }
    guard count > 0 else { return }
    guard let bytes = reader.slice(Int(offset), Int(count)), !bytes.contains(0) else { throw .backingName }
    backingName = String(decoding: bytes, as: UTF8.self)
  }

  /// The names of incompatible features: from the image's own table where it has them.
  func featureNames(_ bits: UInt64, _ reader: BigEndian) -> [String] {
    var table: [Int: String] = [:]
    try? forEachExtension(reader) { type, data in
      guard type == Extension.featureNames else { return }
      // 48 bytes each: the set (0: incompatible), the bit, and a name filled up with zeroes.
      for start in stride(from: 0, to: data.count - data.count % 48, by: 48) where data[start] == 0 {
        let name = data[(start + 2)..<(start + 48)].prefix { $0 != 0 }
        table[Int(data[start + 1])] = String(decoding: name, as: UTF8.self)
      }
    }
    return (0..<64).filter { bits >> UInt64($0) & 1 != 0 }.map { bit in
      table[bit].map { "\($0.debugDescription) (bit \(bit))" } ?? "bit \(bit)"
    }
  }
}
