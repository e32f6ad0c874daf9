internal import CLinux
internal import Glibc
internal import Platform
internal import Synchronization

extension RawImage: SynchronousDisk {
  /// Reads or writes a list of buffers by one system call; as much of it as the bounce buffer holds, where direct I/O needs that.
  @unsafe public func transfer(isWrite: Bool, vectors: BufferVectors, offset: UInt64, isDurable: Bool) -> Int {
    guard unsafe vectors.areAligned(to: bufferAlignment) else {
      return unsafe transferThroughBounce(isWrite: isWrite, vectors: vectors, offset: offset, isDurable: isDurable)
    }
    return unsafe transferAligned(isWrite: isWrite, vectors: vectors, offset: offset, isDurable: isDurable)
  }

  @unsafe private func transferAligned(isWrite: Bool, vectors: BufferVectors, offset: UInt64, isDurable: Bool) -> Int {
    while true {
      let done =
        isWrite
        ? unsafe pwritev2(number, vectors.first, Int32(vectors.count), Int(offset), isDurable ? Int32(clinux_RWF_DSYNC) : 0)
        : unsafe preadv(number, vectors.first, Int32(vectors.count), Int(offset))
      if done >= 0 { return done }
      if errno != EINTR { return -Int(errno) }
    }
  }

  /// Reads or writes by way of memory that is aligned. All threads share it: hardly a guest has such buffers.
  @unsafe private func transferThroughBounce(isWrite: Bool, vectors: BufferVectors, offset: UInt64, isDurable: Bool) -> Int {
    bounce.withLock { memory in
      if memory == nil { memory = try? MemoryMapping.anonymous(count: RawImage.bounceSize) }
      guard let memory else { return -Int(ENOMEM) }
      var cursor = unsafe VectorCursor(vectors)
      let count = unsafe isWrite ? cursor.gather(into: memory.base, atMost: memory.count) : cursor.left(atMost: memory.count)
      var piece = unsafe iovec(iov_base: memory.base, iov_len: count)
      let done = unsafe withUnsafeMutablePointer(to: &piece) {
        unsafe transferAligned(
          isWrite: isWrite, vectors: BufferVectors(first: $0, count: 1), offset: offset, isDurable: isDurable)
      }
      // In bounds: the kernel does no more than it was asked for.
      if !isWrite, done > 0 { unsafe cursor.scatter(from: memory.base, count: done) }
      return done
    }
  }

  /// Writes what can be written without waiting for the disk or for memory (RWF_NOWAIT).
  ///
  /// - Returns: How many bytes were written, or a negated `errno`: `EOPNOTSUPP` where the file system cannot do that.
  @unsafe func writeWithoutWaiting(vectors: BufferVectors, offset: UInt64) -> Int {
    let done = unsafe pwritev2(number, vectors.first, Int32(vectors.count), Int(offset), Int32(clinux_RWF_NOWAIT))
    return done >= 0 ? done : -Int(errno)
  }

  /// Puts all writes that have ended on stable storage (fdatasync(2)).
  public func flush() -> Int32 {
    while fdatasync(number) != 0 { if errno != EINTR { return errno } }
    return 0
  }

  /// Makes a hole of a range, where the file system can.
  public func discard(offset: UInt64, count: UInt64) -> Int32 {
    guard discards else { return 0 }
    let code = allocate(Allocation.punchHole, offset: offset, count: count)
    return code == EOPNOTSUPP ? discardDevice(offset: offset, count: count) : code
  }

  /// Fills a range with zeroes, by the quickest way that the file system offers.
  public func writeZeroes(offset: UInt64, count: UInt64, mayDiscard: Bool) -> Int32 {
    for mode in zeroingModes(mayDiscard: mayDiscard) {
      let code = allocate(mode, offset: offset, count: count)
      if code != EOPNOTSUPP { return code }
    }
    return storeZeroes(offset: offset, count: count)
  }

  /// What to try, in order, before zeroes are written one by one.
  private func zeroingModes(mayDiscard: Bool) -> [Int32] {
    mayDiscard && options.isSparse ? [Allocation.punchHole, Allocation.zeroRange] : [Allocation.zeroRange]
  }

  private func allocate(_ mode: Int32, offset: UInt64, count: UInt64) -> Int32 {
    while fallocate(number, mode, Int(offset), Int(count)) != 0 { if errno != EINTR { return errno } }
    return 0
  }

  /// Discards blocks of a block device that cannot make them zeroes on the way; success where it cannot discard at all.
  func discardDevice(offset: UInt64, count: UInt64) -> Int32 {
    let range: [UInt64] = [offset, count]
    let code = unsafe range.withUnsafeBytes { bytes in
      // The kernel only reads the range.
      unsafe clinux_ioctl_pointer(number, clinux_BLKDISCARD, UnsafeMutableRawPointer(mutating: bytes.baseAddress)) == 0 ? 0 : errno
    }
    return code == EOPNOTSUPP || code == ENOTTY || code == EINVAL ? 0 : code
  }

  private func storeZeroes(offset: UInt64, count: UInt64) -> Int32 {
    guard let zeroes = try? MemoryMapping.anonymous(count: 1 << 20) else { return ENOMEM }
    var done: UInt64 = 0
    while done < count {
      var piece = unsafe iovec(iov_base: zeroes.base, iov_len: Int(min(count - done, UInt64(zeroes.count))))
      let length = unsafe withUnsafeMutablePointer(to: &piece) {
        unsafe transfer(isWrite: true, vectors: BufferVectors(first: $0, count: 1), offset: offset + done, isDurable: false)
      }
      guard length > 0 else { return length == 0 ? EIO : Int32(-length) }
      done += UInt64(length)
    }
    return 0
  }
}

/// Modes of fallocate(2) that keep a file's size.
enum Allocation {
  static let punchHole = Int32(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
  static let zeroRange = Int32(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)
}

/// A place in a list of buffers that moves on as bytes are copied.
@unsafe struct VectorCursor {
  private let vectors: BufferVectors
  private var index = 0
  private var inside = 0

  init(_ vectors: BufferVectors) { unsafe self.vectors = vectors }

  /// How many bytes are left, counted up to a limit.
  func left(atMost limit: Int) -> Int {
    var sum = unsafe -inside
    var next = unsafe index
    while unsafe next < vectors.count, sum < limit {
      sum += unsafe vectors.first[next].iov_len
      next += 1
    }
    return max(0, min(sum, limit))
  }

  /// Copies at most `limit` bytes out of the buffers; returns how many.
  mutating func gather(into target: UnsafeMutableRawPointer, atMost limit: Int) -> Int {
    let count = unsafe left(atMost: limit)
    unsafe move(count) { buffer, done, length in unsafe memcpy(target + done, buffer, length) }
    return count
  }

  /// Copies bytes into the buffers; `count` is at most what is left.
  mutating func scatter(from source: UnsafeRawPointer, count: Int) {
    unsafe move(count) { buffer, done, length in unsafe memcpy(buffer, source + done, length) }
  }

  /// Fills the next bytes of the buffers with zeroes; `count` is at most what is left.
  mutating func clear(_ count: Int) {
    unsafe move(count) { buffer, _, length in unsafe memset(buffer, 0, length) }
  }

  /// Passes over bytes; `count` is at most what is left.
  mutating func skip(_ count: Int) {
    unsafe move(count) { _, _, _ in }
  }

  /// Calls `body` with a list of what is left. The buffer in which that begins is cut short meanwhile.
  func rest<Result>(_ body: (BufferVectors) -> Result) -> Result {
    guard unsafe index < vectors.count else { return unsafe body(BufferVectors(first: vectors.first, count: 0)) }
    let first = unsafe vectors.first + index
    let whole = unsafe first.pointee
    unsafe first.pointee = unsafe iovec(iov_base: whole.iov_base.map { unsafe $0 + inside }, iov_len: whole.iov_len - inside)
    defer { unsafe first.pointee = whole }
    return unsafe body(BufferVectors(first: first, count: vectors.count - index))
  }

  /// Calls `copy` with each part of a buffer that the next `count` bytes are in.
  mutating func move(_ count: Int, _ copy: (_ buffer: UnsafeMutableRawPointer, _ done: Int, _ length: Int) -> Void) {
    var done = 0
    while done < count, unsafe index < vectors.count {
      let vector = unsafe vectors.first[index]
      let length = unsafe min(vector.iov_len - inside, count - done)
      if length > 0, let base = unsafe vector.iov_base { unsafe copy(base + inside, done, length) }
      done += length
      unsafe inside += length
      if unsafe inside == vector.iov_len {
        unsafe index += 1
        unsafe inside = 0
      }
    }
  }
}
