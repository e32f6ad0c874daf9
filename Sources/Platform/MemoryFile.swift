internal import CLinux
internal import Glibc

/// A file that lives in memory only and whose size is sealed (memfd_create(2)): what guest memory is made of.
public final class MemoryFile: Sendable {
  private let descriptor: OwnedDescriptor
  /// The file's size in bytes.
  public let size: Int

  /// Makes a file of `size` zero bytes; no page is taken until it is touched. Nobody can shrink or grow it afterwards.
  public init(name: String, size: Int) throws(SystemError) {
    let number = try retrying("memfd_create") { unsafe Int(memfd_create(name, UInt32(clinux_MFD_CLOEXEC | clinux_MFD_ALLOW_SEALING))) }
    descriptor = OwnedDescriptor(owning: Int32(number))
    self.size = size
    let borrowed = descriptor.number
    try retrying("reserve \(size) bytes of memory") { Int(ftruncate(borrowed, size)) }
    let seals = clinux_F_SEAL_SHRINK | clinux_F_SEAL_GROW | clinux_F_SEAL_SEAL
    try retrying("seal the memory file") { Int(clinux_fcntl(borrowed, clinux_F_ADD_SEALS, Int(seals))) }
  }

  /// Takes a file that a trusted process made, sealed, and of this size: what is touched beyond it would end this process.
  public init(_ descriptor: consuming OwnedDescriptor, size: Int) {
    self.descriptor = descriptor
    self.size = size
  }

  /// The descriptor, lent.
  public var number: Int32 { descriptor.number }

  /// Maps part of the file, shared.
  ///
  /// - Throws: `SystemError`; EINVAL unless the part is inside the file, because touching a page beyond it would end the process.
  public func map(offset: Int, count: Int) throws(SystemError) -> MemoryMapping {
    guard offset >= 0, count > 0, offset <= size, count <= size - offset else {
      throw SystemError("map \(count) bytes at \(offset) of a memory file of \(size)", code: EINVAL)
    }
    return try MemoryMapping.map(descriptor: descriptor.number, offset: offset, count: count, sharing: .shared)
  }
}
