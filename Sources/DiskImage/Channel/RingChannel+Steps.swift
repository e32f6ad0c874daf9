internal import CLinux
internal import Glibc
internal import Platform

/// What follows on a completion: the rest of a short transfer, the next way to make zeroes, the flush of a durable change.
extension RingChannel {
  func queueTransfer(_ slot: Int, isWrite: Bool) throws(SystemError) {
    let vectors = unsafe table.vectors(slot)
    let transfer = table.transfers[slot]
    try unsafe ring.transfer(
      isWrite: isWrite, file: image.number, vectors: vectors.first, count: vectors.count, offset: transfer.offset,
      isDurable: isWrite && transfer.isDurable, token: UInt64(slot))
  }

  func beginAllocation(_ slot: Int) throws(SystemError) {
    switch table.transfers[slot].operation {
    case .discard where !image.discards: ended.append(slot: slot, code: 0)
    case .discard where lacksPunchHole:
      let transfer = table.transfers[slot]
      ended.append(slot: slot, code: image.discardDevice(offset: transfer.offset, count: transfer.remaining))
    case .discard: try queueAllocation(slot, .punchHole)
    case .writeZeroes(mayDiscard: true) where image.discards && !lacksPunchHole: try queueAllocation(slot, .punchHole)
    default: try lacksZeroRange ? queueZeroes(slot) : queueAllocation(slot, .zeroRange)
    }
  }

  private func queueAllocation(_ slot: Int, _ step: Transfer.Step) throws(SystemError) {
    table.transfers[slot].step = step
    let transfer = table.transfers[slot]
    let mode = step == .punchHole ? Allocation.punchHole : Allocation.zeroRange
    try ring.allocate(image.number, mode: mode, offset: transfer.offset, count: transfer.remaining, token: UInt64(slot))
  }

  /// Begins to write zeroes, as many as the slot's list of buffers holds when each is the same zeroes.
  private func queueZeroes(_ slot: Int) throws(SystemError) {
    let memory: MemoryMapping
    if let zeroes { memory = zeroes } else { memory = try .anonymous(count: 64 << 10) }
    zeroes = memory
    table.transfers[slot].step = .writeZeroes
    _ = table.useZeroes(memory, count: table.transfers[slot].remaining, slot: slot)
    try queueTransfer(slot, isWrite: true)
  }

  /// Takes a completion of a slot.
  ///
  /// - Returns: The operation's code when it has ended; nil when it goes on.
  func settle(_ slot: Int, _ result: Int32) -> Int32? {
    do {
      if result == -EINTR || result == -EAGAIN {
        try again(slot)
        return nil
      }
      switch table.transfers[slot].step {
      case .data, .writeZeroes: return try settleData(slot, result)
      case .punchHole where result == -EOPNOTSUPP:
        lacksPunchHole = true
        return try afterPunchHole(slot)
      case .zeroRange where result == -EOPNOTSUPP:
        lacksZeroRange = true
        try queueZeroes(slot)
        return nil
      case .punchHole, .zeroRange: return result < 0 ? -result : try finishAllocation(slot)
      case .settle: return result < 0 ? -result : 0
      }
    } catch { return error.code }
  }

  private func again(_ slot: Int) throws(SystemError) {
    let transfer = table.transfers[slot]
    switch transfer.step {
    case .data where transfer.operation == .flush, .settle: try ring.synchronizeData(image.number, token: UInt64(slot))
    case .data: try queueTransfer(slot, isWrite: transfer.operation == .write)
    case .writeZeroes: try queueTransfer(slot, isWrite: true)
    case .punchHole, .zeroRange: try queueAllocation(slot, transfer.step)
    }
  }

  private func settleData(_ slot: Int, _ result: Int32) throws(SystemError) -> Int32? {
    let transfer = table.transfers[slot]
    if result < 0 { return -result }
    if transfer.operation == .flush { return 0 }
    // The whole of it, nearly always.
    if UInt64(result) == transfer.remaining { return transfer.step == .data ? 0 : try finishAllocation(slot) }
    // Nothing done means that the file ends here, though it was longer when it was opened.
    guard result > 0, UInt64(result) < transfer.remaining else { return EIO }
    table.advance(slot, by: Int(result))
    if transfer.step == .writeZeroes { try queueZeroes(slot) } else { try queueTransfer(slot, isWrite: transfer.operation == .write) }
    return nil
  }

  private func afterPunchHole(_ slot: Int) throws(SystemError) -> Int32? {
    let transfer = table.transfers[slot]
    if transfer.operation == .discard { return image.discardDevice(offset: transfer.offset, count: transfer.remaining) }
    if lacksZeroRange { try queueZeroes(slot) } else { try queueAllocation(slot, .zeroRange) }
    return nil
  }

  private func finishAllocation(_ slot: Int) throws(SystemError) -> Int32? {
    guard table.transfers[slot].isDurable else { return 0 }
    table.transfers[slot].step = .settle
    try ring.synchronizeData(image.number, token: UInt64(slot))
    return nil
  }
}
