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
    let failure = unsafe sectors.withUnsafeMutableBytes { buffer -> DiskFailure? in
      guard let base = buffer.baseAddress else { return nil }
      do throws(DiskFailure) { try unsafe disk.transferAll(isWrite: true, base, count: buffer.count, at: offset) } catch { return error }
      return nil
    }
    if let failure { throw .system(SystemError("write to the disk", code: failure.code)) }
  }

  /// Puts everything on stable storage, and leaves the image as one that was closed.
  public func finish() throws(DiskError) {
    let code = disk.flush()
    guard code == 0 else { throw .system(SystemError("flush the disk", code: code)) }
    disk.finish()
  }
}
