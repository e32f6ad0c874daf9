/// A base address register: a range of addresses that the guest places (PCI 3.0, section 6.2.5.1).
public struct BAR: Hashable, Sendable {
  /// What the range is made of.
  public enum Kind: Hashable, Sendable, CustomStringConvertible {
    /// Guest-physical memory below 4 GiB.
    case memory32
    /// Guest-physical memory anywhere; takes two registers.
    case memory64
    /// Ports.
    case ports

    /// The kind in words.
    public var description: String {
      switch self {
      case .memory32: "32-bit memory"
      case .memory64: "64-bit memory"
      case .ports: "port"
      }
    }
  }

  /// The register's number, 0...5 (0...4 for `memory64`, which takes the next one too).
  public let index: Int
  /// What the range is made of.
  public let kind: Kind
  /// The number of bytes or ports, a power of two; the range begins at a multiple of it.
  public let size: UInt64
  /// Whether reads have no side effects and writes may be merged.
  public let isPrefetchable: Bool

  /// Describes a register.
  ///
  /// - Throws: `PCIError.badBAR` unless `size` is a power of two of 16 bytes...2 GiB (32-bit memory), 16 bytes...2^62 (64-bit memory)
  ///   or 4...256 ports, and the index is in its range.
  public init(index: Int, kind: Kind, size: UInt64, isPrefetchable: Bool = false) throws(PCIError) {
    let (indices, sizes): (ClosedRange<Int>, ClosedRange<UInt64>) =
      switch kind {
      case .memory32: (0...5, 16...(1 << 31))
      case .memory64: (0...4, 16...(1 << 62))
      case .ports: (0...5, 4...256)
      }
    guard indices.contains(index) else { throw .badBAR(index: index, reason: "a \(kind) register has a number of \(indices)") }
    guard sizes.contains(size), size.nonzeroBitCount == 1 else {
      throw .badBAR(index: index, reason: "\(size) is not a power of two of \(sizes)")
    }
    guard !(isPrefetchable && kind == .ports) else { throw .badBAR(index: index, reason: "ports are not prefetchable") }
    self.index = index
    self.kind = kind
    self.size = size
    self.isPrefetchable = isPrefetchable
  }

  /// Where the register is in configuration space.
  public var registerOffset: Int { 0x10 + 4 * index }

  /// The numbers of the registers it takes.
  var registers: Range<Int> { index..<(kind == .memory64 ? index + 2 : index + 1) }

  /// The low bits that say what the register is; never writable.
  var typeBits: UInt8 {
    let prefetch: UInt8 = isPrefetchable ? 8 : 0
    return switch kind {
    case .memory32: prefetch
    case .memory64: 4 | prefetch
    case .ports: 1
    }
  }
}
