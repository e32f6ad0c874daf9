internal import CLinux
internal import Glibc
internal import Platform
internal import Synchronization

/// A range of a disk that is of one kind.
public struct DiskExtent: Sendable, Equatable {
  /// Whether all of it is zero without a look at it; where not, it may be zero all the same.
  public var isZero: Bool
  /// The bytes of the range, from 1; it may go on behind them.
  public var count: UInt64
  /// Where in the image's own file it is, as it is; `nil` for what is nowhere, compressed, or in another file.
  public var hostOffset: UInt64?

  /// Describes a range.
  public init(isZero: Bool, count: UInt64, hostOffset: UInt64? = nil) {
    self.isZero = isZero
    self.count = count
    self.hostOffset = hostOffset
  }
}

extension SynchronousDisk {
  /// All of the rest, of which nothing is known.
  public func extent(at offset: UInt64) throws(DiskError) -> DiskExtent {
    DiskExtent(isZero: false, count: offset < size ? size - offset : 1)
  }
}

extension RawImage {
  /// What is a hole of the file is zero (lseek(2), SEEK_DATA and SEEK_HOLE).
  public func extent(at offset: UInt64) throws(DiskError) -> DiskExtent {
    let rest = offset < size ? size - offset : 1
    let place = Int(clamping: offset)
    let data = lseek(number, place, clinux_SEEK_DATA)
    // No data behind it, or a file that knows nothing of holes.
    guard data >= 0 else { return DiskExtent(isZero: errno == ENXIO, count: rest, hostOffset: errno == ENXIO ? nil : offset) }
    if data > place { return DiskExtent(isZero: true, count: min(rest, UInt64(data - place))) }
    let hole = lseek(number, place, clinux_SEEK_HOLE)
    return DiskExtent(isZero: false, count: hole > place ? min(rest, UInt64(hole - place)) : rest, hostOffset: offset)
  }
}

extension Qcow2Image {
  /// What the tables say, and where they leave it to the backing file, what that says.
  public func extent(at offset: UInt64) throws(DiskError) -> DiskExtent {
    guard offset < size else { return DiskExtent(isZero: true, count: 1) }
    let found: Qcow2Extent
    do throws(DiskFailure) {
      found = try engine.withLock { engine throws(DiskFailure) in try engine.map(offset, atMost: size - offset) }
    } catch { throw DiskError.of(error, path) }
    switch found.kind {
    case .zero: return DiskExtent(isZero: true, count: found.count)
    case .data: return DiskExtent(isZero: false, count: found.count, hostOffset: found.host)
    case .compressed: return DiskExtent(isZero: false, count: found.count)
    case .backing:
      guard let backing, offset < backing.size else { return DiskExtent(isZero: true, count: found.count) }
      let below = try backing.extent(at: offset)
      return DiskExtent(isZero: below.isZero, count: min(found.count, below.count))
    }
  }
}

extension DiskExtent {
  /// Whether this range continues one that ends where it begins: of the same kind, and in the next place of the file.
  public func follows(_ before: DiskExtent) -> Bool {
    isZero == before.isZero && hostOffset == before.hostOffset.map { $0 &+ before.count }
  }
}
