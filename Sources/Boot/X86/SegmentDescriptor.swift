/// One segment: what the descriptor in the table says and what the processor's hidden registers hold (Intel SDM volume 3, 3.4.5).
public struct SegmentDescriptor: Equatable, Sendable {
  /// Its byte offset in the descriptor table.
  public let selector: UInt16
  /// Its first address.
  public let base: UInt64
  /// Its last valid offset, in bytes.
  public let limit: UInt32
  /// The four type bits; 0xb is accessed readable code, 3 accessed writable data, or, for a system segment, a busy task.
  public let type: UInt8
  /// Whether it is a system segment (the descriptor's S bit is clear).
  public let isSystem: Bool
  /// Whether code runs in 64-bit mode (L bit).
  public let isLong: Bool
  /// Whether operands are 32 bits wide (D/B bit).
  public let is32Bit: Bool
  /// Whether the descriptor counts its limit in pages of 4 KiB (G bit).
  public let countsPages: Bool

  init(
    selector: UInt16, base: UInt64 = 0, limit: UInt32, type: UInt8, isSystem: Bool = false, isLong: Bool = false, is32Bit: Bool = false,
    countsPages: Bool = false
  ) {
    self.selector = selector
    self.base = base
    self.limit = limit
    self.type = type
    self.isSystem = isSystem
    self.isLong = isLong
    self.is32Bit = is32Bit
    self.countsPages = countsPages
  }

  /// The first eight bytes of its descriptor: present, privilege level 0.
  var encoded: UInt64 {
    let limit = UInt64(countsPages ? self.limit >> 12 : self.limit)
    let flags = UInt64(type) | (isSystem ? 0 : 1 << 4) | 1 << 7
    let attributes = (isLong ? 1 << 1 : 0) | (is32Bit ? 1 << 2 : 0) | (countsPages ? UInt64(1) << 3 : 0)
    return limit & 0xffff | (base & 0xff_ffff) << 16 | flags << 40 | (limit >> 16 & 0xf) << 48 | attributes << 52 | (base >> 24 & 0xff)
      << 56
  }

  /// Selector 0x10, as Linux's boot protocol demands.
  static let code64 = SegmentDescriptor(selector: 0x10, limit: .max, type: 0xb, isLong: true, countsPages: true)
  static let code32 = SegmentDescriptor(selector: 0x10, limit: .max, type: 0xb, is32Bit: true, countsPages: true)
  /// Selector 0x18, as Linux's boot protocol demands.
  static let data = SegmentDescriptor(selector: 0x18, limit: .max, type: 3, is32Bit: true, countsPages: true)
  static let task = SegmentDescriptor(selector: 0x20, limit: 0x67, type: 0xb, isSystem: true)
}

/// The tables that the processor itself reads.
enum DescriptorBytes {
  private static let entries = 6
  static let limit = UInt16(entries * 8 - 1)

  /// The global descriptor table: two null entries, code, data, and a task of two entries, as 64-bit mode reads it.
  static func gdt(code: SegmentDescriptor) -> [UInt8] {
    var table = TableBytes()
    for entry in [0, 0, code.encoded, SegmentDescriptor.data.encoded, SegmentDescriptor.task.encoded, 0] { table.append(entry) }
    return table.bytes
  }

  /// Page tables that map the first 4 GiB to themselves with pages of 2 MiB (Intel SDM volume 3, 4.5): six pages for `address`.
  static func identityPageTables(at address: UInt64) -> [UInt8] {
    let (present, large): (UInt64, UInt64) = (0b11, 1 << 7)
    var tables = TableBytes()
    tables.append(address + 0x1000 | present)
    tables.append(zeros: 511 * 8)
    for directory in 0..<UInt64(4) { tables.append(address + 0x2000 + directory * 0x1000 | present) }
    tables.append(zeros: 508 * 8)
    for page in 0..<UInt64(4 * 512) { tables.append(page << 21 | large | present) }
    return tables.bytes
  }
}
