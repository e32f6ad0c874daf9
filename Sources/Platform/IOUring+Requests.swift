public import CLinux
internal import Glibc

extension IOUring {
  /// What the requests below ask of the kernel.
  static let operations = [
    IORING_OP_READ, IORING_OP_READV, IORING_OP_WRITE, IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FALLOCATE, IORING_OP_POLL_ADD,
    IORING_OP_ASYNC_CANCEL,
  ]

  private func entry(_ operation: io_uring_op, _ descriptor: Int32, token: UInt64) -> io_uring_sqe {
    var entry = io_uring_sqe()
    entry.opcode = UInt8(truncatingIfNeeded: operation.rawValue)
    entry.fd = descriptor
    entry.user_data = token
    return entry
  }

  /// Queues a read or write of several buffers.
  ///
  /// - Parameters:
  ///   - isWrite: Whether the file is written.
  ///   - file: An open descriptor, lent until the request ends.
  ///   - vectors: The buffers. The list must stay until the request is submitted, or, to be safe with all kernels, until it ends;
  ///     the buffers must stay until it ends, so they must belong to the ring's `buffers`.
  ///   - count: The number of buffers, at most 1024.
  ///   - offset: Where in the file.
  ///   - isDurable: Whether a write ends only when it is on stable storage (RWF_DSYNC).
  ///   - token: What the completion carries.
  @unsafe public func transfer(
    isWrite: Bool, file: Int32, vectors: UnsafePointer<iovec>, count: Int, offset: UInt64, isDurable: Bool = false, token: UInt64
  ) throws(SystemError) {
    var request = entry(isWrite ? IORING_OP_WRITEV : IORING_OP_READV, file, token: token)
    if count == 1 {
      // The kernel need not copy a list.
      request.opcode = UInt8(truncatingIfNeeded: (isWrite ? IORING_OP_WRITE : IORING_OP_READ).rawValue)
      unsafe request.addr = UInt64(UInt(bitPattern: vectors.pointee.iov_base))
      request.len = unsafe UInt32(truncatingIfNeeded: min(vectors.pointee.iov_len, 0x7fff_f000))
    } else {
      request.addr = UInt64(UInt(bitPattern: vectors))
      request.len = UInt32(truncatingIfNeeded: count)
    }
    request.off = offset
    if isDurable { request.rw_flags = UInt32(clinux_RWF_DSYNC) }
    try queue(request)
  }

  /// Queues a flush of a file's data, with the metadata needed to read it, to stable storage (fdatasync(2)).
  public func synchronizeData(_ file: Int32, token: UInt64) throws(SystemError) {
    var request = entry(IORING_OP_FSYNC, file, token: token)
    request.fsync_flags = UInt32(IORING_FSYNC_DATASYNC)
    try queue(request)
  }

  /// Queues a change of a file's allocation (fallocate(2)).
  public func allocate(_ file: Int32, mode: Int32, offset: UInt64, count: UInt64, token: UInt64) throws(SystemError) {
    var request = entry(IORING_OP_FALLOCATE, file, token: token)
    request.off = offset
    request.addr = count
    request.len = UInt32(bitPattern: mode)
    try queue(request)
  }

  /// Queues a wait for a descriptor to become readable, again and again: a completion each time somebody wakes its waiters, which for
  /// an eventfd is each signal, drained or not. When a completion does not continue, the wait must be queued anew.
  public func pollReadable(_ descriptor: Int32, token: UInt64) throws(SystemError) {
    var request = entry(IORING_OP_POLL_ADD, descriptor, token: token)
    request.poll32_events = UInt32(POLLIN)
    request.len = IORING_POLL_ADD_MULTI
    if !polls.contains(token) { polls.append(token) }
    try queue(request)
  }

  /// Queues the cancellation of the request with a token; that request then ends with `ECANCELED`, unless it ends by itself first.
  public func cancel(_ victim: UInt64, token: UInt64) throws(SystemError) {
    var request = entry(IORING_OP_ASYNC_CANCEL, -1, token: token)
    request.addr = victim
    try queue(request)
  }

  /// Queues the cancellation of all requests (Linux 5.19; `EINVAL` or no effect before).
  public func cancelAll(token: UInt64) throws(SystemError) {
    var request = entry(IORING_OP_ASYNC_CANCEL, -1, token: token)
    request.cancel_flags = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY
    try queue(request)
  }
}
