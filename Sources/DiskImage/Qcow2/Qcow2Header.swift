/// The header of a qcow2 image with its extensions, as the specification's section "Header" has it. What it says of the file is not checked
/// here but by `Qcow2Layout`.
public struct Qcow2Header: Sendable, Equatable {
  /// 2 or 3.
  public internal(set) var version: UInt32 = 3
  /// The bytes of a cluster as a power of two, 9 to 21.
  public internal(set) var clusterBits = 16
  /// The bytes of the disk.
  public internal(set) var size: UInt64 = 0
  /// Entries and place of the first table.
  var l1Count: UInt32 = 0
  var l1Offset: UInt64 = 0
  var refcountTableOffset: UInt64 = 0
  var refcountTableClusters: UInt32 = 0
  /// How many internal snapshots there are.
  public internal(set) var snapshotCount: UInt32 = 0
  var snapshotOffset: UInt64 = 0
  var incompatible: UInt64 = 0
  var compatible: UInt64 = 0
  var autoclear: UInt64 = 0
  /// The bits of a refcount as a power of two, 0 to 6.
  public internal(set) var refcountOrder = 4
  var headerLength: UInt32 = 104
  /// How clusters are compressed.
  public internal(set) var compression = Compression.zlib
  /// The name of the file that has what this one has not.
  public internal(set) var backingName: String?
  /// That file's format, as the image names it.
  public internal(set) var backingFormat: String?
  /// How the content is encrypted, where it is; such an image is only described.
  public internal(set) var encryption: String?
  /// Whether the content is in another file; such an image is only described.
  public var hasExternalData: Bool { incompatible & Feature.externalData != 0 }
  /// The name of that file, where the image tells it.
  public internal(set) var dataName: String?
  /// The bytes of the bitmap directory extension, where there is one.
  var bitmaps: [UInt8]?

  /// How clusters are compressed.
  public enum Compression: UInt8, Sendable { case zlib, zstd }

  /// Whether the refcounts may be too low until they are made anew.
  public var isDirty: Bool { incompatible & Feature.dirty != 0 }
  /// Whether it was found to be corrupt.
  public var isCorrupt: Bool { incompatible & Feature.corrupt != 0 }
  /// Whether entries tell of parts of clusters.
  public var hasSubclusters: Bool { incompatible & Feature.subclusters != 0 }
  /// Whether refcounts may be written late.
  public var hasLazyRefcounts: Bool { compatible & Feature.lazyRefcounts != 0 }

  /// Bits of the three sets of features.
  enum Feature {
    static let dirty: UInt64 = 1
    static let corrupt: UInt64 = 2
    static let externalData: UInt64 = 4
    static let compression: UInt64 = 8
    static let subclusters: UInt64 = 16
    static let lazyRefcounts: UInt64 = 1
    static let bitmaps: UInt64 = 1
    static let known = dirty | corrupt | externalData | compression | subclusters
  }

  static let magic: [UInt8] = [0x51, 0x46, 0x49, 0xfb]
  /// The longest name of a backing file.
  static let backingNameLimit = 1023

  var geometry: Qcow2Geometry {
    Qcow2Geometry(clusterBits: clusterBits, refcountOrder: refcountOrder, hasSubclusters: hasSubclusters, version: version)
  }

  init() {}

  /// How many bytes of the file hold the header and all that belongs to it, given the first 24 or more.
  static func extent(_ bytes: [UInt8]) -> Int? {
    guard let bits = BigEndian(bytes).word32(20), (9...21).contains(bits) else { return nil }
    return 1 << Int(bits)
  }

  /// Reads a header.
  ///
  /// - Parameters:
  ///   - bytes: The file's first cluster, or all of the file where that is less.
  ///   - isOnlyDescribed: Whether nothing but the header is of interest: then the content may be encrypted, or in another file.
  public init(_ bytes: [UInt8], isOnlyDescribed: Bool = false) throws(Qcow2Problem) {
    guard Array(bytes.prefix(4)) == Qcow2Header.magic else { throw bytes.count < 4 ? .truncated : .noMagic }
    let reader = BigEndian(bytes)
    guard bytes.count >= 72, let version = reader.word32(4), let bits = reader.word32(20) else { throw .truncated }
    guard version == 2 || version == 3 else { throw .version(version) }
    guard (9...21).contains(bits) else { throw .clusterBits(bits) }
    self.version = version
    clusterBits = Int(bits)
    try readCommonFields(reader)
    if version == 3 { try readVersion3(reader) } else { headerLength = 72 }
    try readExtensions(reader)
    try readBackingName(reader)
    try checkFeatures(reader)
    guard !isOnlyDescribed else { return }
    if encryption != nil { throw .encrypted }
    if hasExternalData || dataName != nil { throw .externalData }
  }

  private mutating func readCommonFields(_ reader: BigEndian) throws(Qcow2Problem) {
    guard let size = reader.word64(24), let method = reader.word32(32), let l1Count = reader.word32(36), let l1Offset = reader.word64(40),
      let tableOffset = reader.word64(48), let tableClusters = reader.word32(56), let snapshots = reader.word32(60),
      let snapshotOffset = reader.word64(64)
    else { throw .truncated }
    encryption = Qcow2Header.encryptionName(method)
    self.size = size
    self.l1Count = l1Count
    self.l1Offset = l1Offset
    refcountTableOffset = tableOffset
    refcountTableClusters = tableClusters
    snapshotCount = snapshots
    self.snapshotOffset = snapshotOffset
  }

  /// How content is encrypted by a method of the header; nil where it is not.
  private static func encryptionName(_ method: UInt32) -> String? {
    switch method {
    case 0: nil
    case 1: "aes"
    case 2: "luks"
    default: "method \(method)"
    }
  }

  private mutating func readVersion3(_ reader: BigEndian) throws(Qcow2Problem) {
    guard let incompatible = reader.word64(72), let compatible = reader.word64(80), let autoclear = reader.word64(88),
      let order = reader.word32(96), let length = reader.word32(100)
    else { throw .truncated }
    self.incompatible = incompatible
    self.compatible = compatible
    self.autoclear = autoclear
    guard order <= 6 else { throw .refcountOrder(order) }
    refcountOrder = Int(order)
    guard length >= 104, length % 8 == 0, length <= 1 << UInt32(clusterBits) else { throw .headerLength(length) }
    headerLength = length
    let type = length > 104 ? reader.byte(104) ?? 0 : 0
    // The feature bit is set exactly where the method is another than the usual one.
    guard let compression = Compression(rawValue: type), (compression != .zlib) == (incompatible & Feature.compression != 0) else {
      throw .compression(type)
    }
    self.compression = compression
  }

  private func checkFeatures(_ reader: BigEndian) throws(Qcow2Problem) {
    let unknown = incompatible & ~Feature.known
    if unknown != 0 { throw .unknownFeatures(featureNames(unknown, reader)) }
    if hasSubclusters, clusterBits < 14 { throw .subclusters }
  }

  /// Whether the image must be written before its content is, so that nobody believes what is no longer true.
  var mustClearFeatures: Bool { version == 3 && autoclear != 0 }
}

/// Reads numbers with the most significant byte first, wherever they are.
struct BigEndian {
  private let bytes: [UInt8]

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  var count: Int { bytes.count }

  func byte(_ offset: Int) -> UInt8? { bytes.indices.contains(offset) ? bytes[offset] : nil }

  func slice(_ offset: Int, _ count: Int) -> [UInt8]? {
    guard offset >= 0, count >= 0, offset <= bytes.count, count <= bytes.count - offset else { return nil }
    return Array(bytes[offset..<offset + count])
  }

  func word32(_ offset: Int) -> UInt32? { slice(offset, 4)?.reduce(0) { $0 << 8 | UInt32($1) } }

  func word64(_ offset: Int) -> UInt64? { slice(offset, 8)?.reduce(0) { $0 << 8 | UInt64($1) } }

  func word16(_ offset: Int) -> UInt16? { slice(offset, 2)?.reduce(0) { $0 << 8 | UInt16($1) } }
}

extension [UInt8] {
  /// Appends a number, most significant byte first.
  mutating func appendBig<T: FixedWidthInteger>(_ value: T) {
    for shift in stride(from: T.bitWidth - 8, through: 0, by: -8) { append(UInt8(truncatingIfNeeded: value >> T(shift))) }
  }
}
