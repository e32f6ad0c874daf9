internal import Glibc
internal import Synchronization

// What is done to the disk without buffers: flushes, and ranges that are emptied.
extension Qcow2Image {
  /// Puts everything on stable storage.
  public func flush() -> Int32 { run { engine throws(DiskFailure) in try engine.flush() } }

  /// Forgets the clusters of a range.
  public func discard(offset: UInt64, count: UInt64) -> Int32 {
    guard discards else { return 0 }
    return runInParts(offset, count) { engine, offset, count throws(DiskFailure) in try engine.discard(offset: offset, count: count) }
  }

  /// Fills a range with zeroes.
  public func writeZeroes(offset: UInt64, count: UInt64, mayDiscard: Bool) -> Int32 {
    guard !isReadOnly else { return EROFS }
    let mayDiscard = mayDiscard && discards
    return runInParts(offset, count) { engine, offset, count throws(DiskFailure) in
      try engine.writeZeroes(offset: offset, count: count, mayDiscard: mayDiscard)
    }
  }

  private func run(_ body: (Qcow2Engine) throws(DiskFailure) -> Void) -> Int32 {
    do throws(DiskFailure) {
      try engine.withLock { engine throws(DiskFailure) in try body(engine) }
      return 0
    } catch { return error.code }
  }

  /// So many clusters, as a power of two, are emptied before other threads have their turn: some milliseconds.
  private static let partBits = 13

  /// Does something to a range, part by part, until one fails. A range that is on the disk may be all of it.
  private func runInParts(
    _ offset: UInt64, _ count: UInt64, _ body: (Qcow2Engine, _ offset: UInt64, _ count: UInt64) throws(DiskFailure) -> Void
  ) -> Int32 {
    let partSize = geometry.clusterSize << UInt64(Qcow2Image.partBits)
    var (start, left) = (offset, count)
    while left > 0 {
      let part = min(left, partSize - start & (partSize - 1))
      let code = run { engine throws(DiskFailure) in try body(engine, start, part) }
      guard code == 0 else { return code }
      start += part
      left -= part
    }
    return 0
  }
}
