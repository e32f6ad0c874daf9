internal import CLinux
internal import Glibc

extension SynchronousDisk {
  /// Reads or writes memory as a whole, however many transfers that takes.
  ///
  /// - Parameters:
  ///   - memory: At least `count` bytes; a write only reads them.
  ///   - count: A number of bytes that are all on the disk.
  /// - Throws: `EIO` where the disk ends before.
  @unsafe func transferAll(isWrite: Bool, _ memory: UnsafeMutableRawPointer, count: Int, at offset: UInt64) throws(DiskFailure) {
    var done = 0
    while done < count {
      var piece = unsafe iovec(iov_base: memory + done, iov_len: count - done)
      let result = unsafe withUnsafeMutablePointer(to: &piece) {
        unsafe transfer(isWrite: isWrite, vectors: BufferVectors(first: $0, count: 1), offset: offset + UInt64(done), isDurable: false)
      }
      guard result > 0 else { throw DiskFailure(result == 0 ? EIO : Int32(-result)) }
      done += result
    }
  }
}
