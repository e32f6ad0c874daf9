internal import CLinux

extension BufferVectors {
  /// Calls `body` with the first `count` bytes of the list, or all of it where it has no more; the buffer in which they end is cut short
  /// meanwhile. Formats end a transfer where a piece of the image ends, and their caller comes again for the rest.
  func withPrefix<Result>(_ count: Int, _ body: (BufferVectors) -> Result) -> Result {
    var left = count
    for index in unsafe 0..<self.count {
      let length = unsafe first[index].iov_len
      if left > length {
        left -= length
        continue
      }
      unsafe first[index].iov_len = left
      defer { unsafe first[index].iov_len = length }
      return unsafe body(BufferVectors(first: first, count: index + 1))
    }
    return unsafe body(self)
  }

  /// The buffers' bytes together.
  var byteCount: UInt64 {
    var sum: UInt64 = 0
    for index in unsafe 0..<count { sum += UInt64(unsafe first[index].iov_len) }
    return sum
  }
}
