public import CLinux
internal import Platform

/// A list of buffers for one system call. It may be passed on to where a lock is held: it is lent for the length of a call, to one thread.
@unsafe public struct BufferVectors: @unchecked Sendable {
  /// The first buffer.
  public let first: UnsafeMutablePointer<iovec>
  /// The number of buffers.
  public let count: Int

  /// Names a list of buffers.
  public init(first: UnsafeMutablePointer<iovec>, count: Int) {
    unsafe self.first = unsafe first
    unsafe self.count = count
  }
}

extension BufferVectors {
  /// Whether address and length of every buffer are multiples of a power of two.
  func areAligned(to alignment: Int) -> Bool {
    guard alignment > 1 else { return true }
    var bits: UInt = 0
    // In bounds: the list has `count` buffers.
    for index in unsafe 0..<count { unsafe bits |= UInt(bitPattern: first[index].iov_base) | UInt(first[index].iov_len) }
    return bits & UInt(alignment - 1) == 0
  }
}

/// What one slot of a channel is doing.
struct Transfer {
  var operation = DiskOperation.flush
  var offset: UInt64 = 0
  /// The bytes that are still to be done.
  var remaining: UInt64 = 0
  var isDurable = false
  /// What is asked of the kernel now.
  var step = Step.data
  /// The buffers from here on are still to be done.
  var firstBuffer = 0
  var bufferCount = 0
  /// The sum of the buffers' lengths when they were added.
  var bufferBytes: UInt64 = 0

  enum Step {
    /// A read, a write, or a flush.
    case data
    case punchHole
    case zeroRange
    /// Zeroes written from a page of zeroes.
    case writeZeroes
    /// The flush at the end of a durable change of allocation.
    case settle
  }
}

/// The slots of a channel with the buffer lists they own: one page of memory a slot, taken when first touched.
@safe struct TransferTable {
  static let bufferLimit = unsafe 4096 / MemoryLayout<iovec>.stride

  var transfers: [Transfer]
  private let memory: MemoryMapping

  init(depth: Int) throws(DiskError) {
    transfers = [Transfer](repeating: Transfer(), count: depth)
    do { memory = try .anonymous(count: depth * 4096) } catch { throw .system(error) }
  }

  private func list(_ slot: Int) -> UnsafeMutablePointer<iovec> {
    // In bounds: the caller's slot indexes `transfers`, and the memory holds a page for each.
    precondition(transfers.indices.contains(slot))
    return unsafe (memory.base + slot * 4096).assumingMemoryBound(to: iovec.self)
  }

  mutating func clear(_ slot: Int) {
    transfers[slot].firstBuffer = 0
    transfers[slot].bufferCount = 0
    transfers[slot].bufferBytes = 0
  }

  @unsafe mutating func add(_ start: UnsafeMutableRawPointer, count: Int, slot: Int) -> Bool {
    let index = transfers[slot].bufferCount
    guard index < TransferTable.bufferLimit, count >= 0 else { return false }
    unsafe list(slot)[index] = iovec(iov_base: start, iov_len: count)
    transfers[slot].bufferCount = index + 1
    transfers[slot].bufferBytes += UInt64(count)
    return true
  }

  /// The buffers that are still to be done.
  @unsafe func vectors(_ slot: Int) -> BufferVectors {
    let transfer = transfers[slot]
    return unsafe BufferVectors(first: list(slot) + transfer.firstBuffer, count: transfer.bufferCount - transfer.firstBuffer)
  }

  /// Puts zeroes in the place of the slot's buffers, for at most `count` bytes; returns for how many.
  mutating func useZeroes(_ zeroes: MemoryMapping, count: UInt64, slot: Int) -> UInt64 {
    clear(slot)
    var left = count
    while left > 0, unsafe add(zeroes.base, count: Int(min(left, UInt64(zeroes.count))), slot: slot) {
      left -= min(left, UInt64(zeroes.count))
    }
    return count - left
  }

  /// Notes that `count` bytes were done, and skips their buffers. `count` is at most what remained.
  mutating func advance(_ slot: Int, by count: Int) {
    transfers[slot].offset += UInt64(count)
    transfers[slot].remaining -= UInt64(count)
    if transfers[slot].remaining == 0 { return }
    var left = count
    let list = unsafe list(slot)
    var index = transfers[slot].firstBuffer
    while index < transfers[slot].bufferCount {
      let length = unsafe list[index].iov_len
      if left < length {
        unsafe list[index].iov_base += left
        unsafe list[index].iov_len -= left
        break
      }
      left -= length
      index += 1
    }
    transfers[slot].firstBuffer = index
  }

  /// Whether address and length of every buffer are multiples of `alignment`.
  func buffersAreAligned(_ slot: Int, to alignment: Int) -> Bool { unsafe vectors(slot).areAligned(to: alignment) }
}
