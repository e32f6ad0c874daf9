internal import CLinux

extension BufferVectors {
  /// Lends the list, or as much of its beginning as fits into `limit` bytes: formats end a transfer where a piece of the image ends, and
  /// their caller comes again for the rest.
  ///
  /// - Parameter limit: At least 1.
  /// - Returns: What `body` returns.
  @unsafe func withPrefix(atMost limit: UInt64, _ body: (BufferVectors) -> Int) -> Int {
    var left = limit
    var whole = 0
    // Whole buffers at the end of the prefix; empty ones cost nothing.
    while unsafe whole < count {
      let length = UInt64(unsafe first[whole].iov_len)
      guard length <= left else { break }
      left -= length
      whole += 1
    }
    if unsafe whole == count { return unsafe body(self) }
    if left < limit { return unsafe body(BufferVectors(first: first, count: whole)) }
    // The first buffer that is not empty is longer than the limit already, so what fits is less than its `Int` length.
    var piece = unsafe iovec(iov_base: first[whole].iov_base, iov_len: Int(limit))
    return unsafe withUnsafeMutablePointer(to: &piece) { unsafe body(BufferVectors(first: $0, count: 1)) }
  }

  /// The buffers' bytes together.
  var byteCount: UInt64 {
    var sum: UInt64 = 0
    for index in unsafe 0..<count { sum += UInt64(unsafe first[index].iov_len) }
    return sum
  }
}
