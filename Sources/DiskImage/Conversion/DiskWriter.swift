internal import CLinux
internal import Glibc
internal import Platform

/// Writes bytes to a disk, one call after the other: for tools.
public struct DiskWriter: ~Copyable {
  private let disk: any SynchronousDisk

  /// Takes a disk that can be written.
  public init(_ disk: any DiskImage) throws(DiskError) {
    guard let disk = disk as? any SynchronousDisk else { throw .system(SystemError("write to the disk", code: EROFS)) }
    self.disk = disk
  }

  /// Writes bytes; the last sector is filled up with zeroes.
  ///
  /// - Parameter offset: A multiple of 512.
  /// - Throws: `DiskError`, also where the disk ends before the bytes do.
  public func write(_ bytes: some Collection<UInt8>, at offset: UInt64) throws(DiskError) {
    var sectors = Array(bytes)
    sectors += [UInt8](repeating: 0, count: (512 - sectors.count % 512) % 512)
    var done = 0
    while done < sectors.count {
      let result = unsafe sectors.withUnsafeMutableBytes { buffer in
        var piece = unsafe iovec(iov_base: buffer.baseAddress.map { unsafe $0 + done }, iov_len: buffer.count - done)
        return unsafe withUnsafeMutablePointer(to: &piece) {
          unsafe disk.transfer(
            isWrite: true, vectors: BufferVectors(first: $0, count: 1), offset: offset + UInt64(done), isDurable: false)
        }
      }
      guard result > 0 else { throw .system(SystemError("write to the disk", code: result == 0 ? ENOSPC : Int32(-result))) }
      done += result
    }
  }

  /// Puts everything on stable storage, and leaves the image as one that was closed.
  public func finish() throws(DiskError) {
    let code = disk.flush()
    guard code == 0 else { throw .system(SystemError("flush the disk", code: code)) }
    disk.finish()
  }
}
