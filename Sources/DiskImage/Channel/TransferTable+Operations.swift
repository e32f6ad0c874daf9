internal import CLinux
internal import Glibc

extension TransferTable {
  /// Notes what a slot does from now on.
  ///
  /// - Returns: An `errno` where the disk cannot do that: the range is not on it, the transfer not aligned, or the
  ///   buffers too few or too many.
  mutating func set(
    _ slot: Int, _ operation: DiskOperation, _ disk: some DiskImage, offset: UInt64, count: UInt64, isDurable: Bool
  ) -> Int32? {
    transfers[slot].operation = operation
    transfers[slot].offset = offset
    transfers[slot].remaining = count
    transfers[slot].isDurable = isDurable
    transfers[slot].step = .data
    if operation == .flush { return nil }
    let size = disk.size
    guard count > 0, count <= size, offset <= size - count else { return EINVAL }
    if operation == .read || operation == .write {
      guard transfers[slot].bufferBytes == count, (offset | count) & UInt64(disk.alignment - 1) == 0 else { return EINVAL }
    }
    return operation != .read && disk.isReadOnly ? EROFS : nil
  }

  /// Reads or writes all of a slot's buffers here and now.
  ///
  /// - Returns: Zero or an `errno`.
  mutating func transferAll(_ slot: Int, isWrite: Bool, disk: some SynchronousDisk) -> Int32 {
    while true {
      let transfer = transfers[slot]
      let done = unsafe disk.transfer(
        isWrite: isWrite, vectors: vectors(slot), offset: transfer.offset, isDurable: isWrite && transfer.isDurable)
      if done < 0 { return Int32(truncatingIfNeeded: -done) }
      if UInt64(done) == transfer.remaining { return 0 }
      guard done > 0, UInt64(done) < transfer.remaining else { return EIO }
      advance(slot, by: done)
    }
  }
}
