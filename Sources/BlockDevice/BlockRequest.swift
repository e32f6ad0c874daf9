public import Virtio

/// The answer to a request, its last byte (virtio 1.2, section 5.2.6).
public enum BlockStatus: UInt8, Sendable {
  /// VIRTIO_BLK_S_OK.
  case ok = 0
  /// VIRTIO_BLK_S_IOERR.
  case ioError = 1
  /// VIRTIO_BLK_S_UNSUPP.
  case unsupported = 2
}

/// A part of the disk.
public struct BlockRange: Equatable, Sendable {
  /// Where it begins, in bytes.
  public let offset: UInt64
  /// How many bytes it has, at least one sector.
  public let count: UInt64
  /// Whether a range to be filled with zeroes may be given back to the host.
  public let mayDiscard: Bool
}

/// What requests are measured by: the disk, and what device and driver agreed on.
public struct BlockRules: Sendable {
  /// The size of the disk in sectors of 512 bytes.
  public var sectorCount: UInt64
  /// Whether the driver may only read.
  public var isReadOnly: Bool
  /// The accepted feature bits.
  public var features: UInt64

  /// Gathers the rules.
  public init(sectorCount: UInt64, isReadOnly: Bool, features: UInt64) {
    self.sectorCount = sectorCount
    self.isReadOnly = isReadOnly
    self.features = features
  }
}

/// A request of the driver, understood and checked: every range lies on the disk, and every length is what the buffers hold.
public enum BlockRequest: Equatable, Sendable {
  /// Fill the writable buffers, but for their last byte.
  case read(offset: UInt64, count: UInt64)
  /// Store the readable buffers, from byte 16 on.
  case write(offset: UInt64, count: UInt64)
  /// Put what was written on stable storage.
  case flush
  /// Tell the disk's name, in at most `room` bytes.
  case identify(room: Int)
  /// Forget the content of the ranges, of which there is at least one.
  case discard([BlockRange])
  /// Fill the ranges, of which there is at least one, with zeroes.
  case writeZeroes([BlockRange])
  /// Nothing is to be done; this is the answer.
  case answered(BlockStatus)
  /// There is no room for an answer.
  case unanswerable

  /// The size of a sector, whatever block size the driver is told (section 5.2.6).
  public static let sectorSize: UInt64 = 512
  /// The length of the header: type, reserved, sector (section 5.2.6).
  public static let headerSize = 16
  /// How many ranges one request may have.
  public static let rangeLimit = 32
  /// The length of one range as the driver writes it: sector, count, flags.
  static let rangeSize = 16

  /// Understands a request. Reads each of its bytes once, whatever the driver does meanwhile.
  ///
  /// Buffers may be cut anywhere: only the order of the bytes counts (section 2.7.4).
  public init(_ chain: DescriptorChain, rules: BlockRules) {
    guard chain.writableBytes > 0 else {
      self = .unanswerable
      return
    }
    if chain.isCut {
      self = .answered(.ioError)
      return
    }
    var reader = ChainReader(chain)
    guard let header = try? reader.read(UInt64.self), let sector = try? reader.read(UInt64.self) else {
      self = .answered(.ioError)
      return
    }
    // The upper half of the first word is reserved.
    switch UInt32(truncatingIfNeeded: header) {
    case Kind.read:
      self = BlockRequest.transfer(sector, chain.writableBytes - 1, rules).map { .read(offset: $0, count: $1) }
    case Kind.write where rules.isReadOnly:
      // Section 5.2.6.2: a read-only device fails writes with an I/O error.
      self = .answered(.ioError)
    case Kind.write:
      self = BlockRequest.transfer(sector, reader.remaining, rules).map { .write(offset: $0, count: $1) }
    case Kind.flush where rules.features & BlockFeatures.flush != 0: self = .flush
    case Kind.identify: self = .identify(room: Int(min(chain.writableBytes - 1, UInt64(BlockConfiguration.idLimit))))
    case Kind.discard where rules.features & BlockFeatures.discard != 0: self = BlockRequest.discard(&reader, rules)
    case Kind.writeZeroes where rules.features & BlockFeatures.writeZeroes != 0: self = BlockRequest.writeZeroes(&reader, rules)
    default: self = .answered(.unsupported)
    }
  }

  /// The request types (section 5.2.6) that this device knows.
  private enum Kind {
    static let read: UInt32 = 0
    static let write: UInt32 = 1
    static let flush: UInt32 = 4
    static let identify: UInt32 = 8
    static let discard: UInt32 = 11
    static let writeZeroes: UInt32 = 13
  }

  /// A part of the disk that was checked, or the answer that says what is wrong with it.
  private enum Checked {
    case valid(offset: UInt64, count: UInt64)
    case answered(BlockStatus)

    func map(_ request: (UInt64, UInt64) -> BlockRequest) -> BlockRequest {
      switch self {
      case .valid(let offset, let count): request(offset, count)
      case .answered(let status): .answered(status)
      }
    }
  }

  /// Checks what a read or write names.
  private static func transfer(_ sector: UInt64, _ count: UInt64, _ rules: BlockRules) -> Checked {
    guard count % sectorSize == 0, let offset = checkedOffset(sector, count / sectorSize, rules) else { return .answered(.ioError) }
    return count == 0 ? .answered(.ok) : .valid(offset: offset, count: count)
  }

  /// Where `sector` begins, in bytes; nil unless it and the `count` sectors from there on are on the disk.
  private static func checkedOffset(_ sector: UInt64, _ count: UInt64, _ rules: BlockRules) -> UInt64? {
    guard sector <= rules.sectorCount, count <= rules.sectorCount - sector else { return nil }
    // The end in bytes has to be a number, too.
    if (sector + count).multipliedReportingOverflow(by: sectorSize).overflow { return nil }
    return sector * sectorSize
  }

  private static func discard(_ reader: inout ChainReader, _ rules: BlockRules) -> BlockRequest {
    // Section 5.2.6.2: an unknown flag, and the unmap flag too, is unsupported in a discard.
    ranges(&reader, rules, knownFlags: 0) { .discard($0) }
  }

  private static func writeZeroes(_ reader: inout ChainReader, _ rules: BlockRules) -> BlockRequest {
    ranges(&reader, rules, knownFlags: RangeFlag.unmap) { .writeZeroes($0) }
  }

  private enum RangeFlag {
    static let unmap: UInt32 = 1
  }

  /// Reads the ranges of a discard or write-zeroes request; empty ones ask for nothing.
  private static func ranges(
    _ reader: inout ChainReader, _ rules: BlockRules, knownFlags: UInt32, _ make: ([BlockRange]) -> BlockRequest
  ) -> BlockRequest {
    let length = reader.remaining
    guard length > 0, length % UInt64(rangeSize) == 0, length <= UInt64(rangeLimit * rangeSize) else { return .answered(.ioError) }
    var ranges: [BlockRange] = []
    for _ in 0..<length / UInt64(rangeSize) {
      guard let sector = try? reader.read(UInt64.self), let rest = try? reader.read(UInt64.self) else { return .answered(.ioError) }
      let (count, flags) = (rest & 0xffff_ffff, UInt32(truncatingIfNeeded: rest >> 32))
      guard flags & ~knownFlags == 0 else { return .answered(.unsupported) }
      guard let offset = checkedOffset(sector, count, rules) else { return .answered(.ioError) }
      if count == 0 { continue }
      ranges.append(BlockRange(offset: offset, count: count * sectorSize, mayDiscard: flags & RangeFlag.unmap != 0))
    }
    return ranges.isEmpty ? .answered(.ok) : make(ranges)
  }
}
