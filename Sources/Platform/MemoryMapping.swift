internal import CLinux
internal import Glibc

/// A range of this process's memory that is unmapped when its owner goes.
/// Safe to hold and to send: only reading `base` is unsafe, and says so.
@safe public final class MemoryMapping: @unchecked Sendable {
  /// Where the mapping begins; page-aligned. Valid while this object lives.
  @unsafe public let base: UnsafeMutableRawPointer
  /// The mapping's length in bytes.
  public let count: Int

  private init(base: UnsafeMutableRawPointer, count: Int) {
    unsafe self.base = base
    self.count = count
  }

  deinit { unsafe munmap(base, count) }

  /// How a file is mapped.
  public enum Sharing: Sendable {
    /// Writes reach the file and every other mapping of it.
    case shared
    /// Writes stay in this mapping; pages are copied when first written.
    case privateCopy
  }

  /// Maps `count` bytes of a file from `offset` (page-aligned), readable and writable.
  public static func map(descriptor: Int32, offset: Int = 0, count: Int, sharing: Sharing) throws(SystemError) -> MemoryMapping {
    let flags = sharing == .shared ? MAP_SHARED : MAP_PRIVATE
    return try map(count: count, flags: flags | Int32(MAP_NORESERVE), descriptor: descriptor, offset: offset)
  }

  /// Maps `count` bytes of zeroed private memory.
  public static func anonymous(count: Int) throws(SystemError) -> MemoryMapping {
    try map(count: count, flags: MAP_PRIVATE | Int32(MAP_ANONYMOUS) | Int32(MAP_NORESERVE), descriptor: -1, offset: 0)
  }

  /// Maps a file from its start, shared, and zeroed private memory after its end.
  ///
  /// Touching a page that the file loses later, or that cannot be read, ends the process: such a mapping is for the kernel's use.
  ///
  /// - Parameters:
  ///   - descriptor: Open for reading, and for writing unless the mapping is read-only.
  ///   - fileBytes: How many bytes of the file, at least 1.
  ///   - count: How many bytes in all, at least as many; a multiple of the page size.
  ///   - isWritable: Whether the mapping may be written.
  public static func map(descriptor: Int32, fileBytes: Int, count: Int, isWritable: Bool) throws(SystemError) -> MemoryMapping {
    guard fileBytes > 0, fileBytes <= count else { throw SystemError("map \(fileBytes) bytes of a file in \(count)", code: EINVAL) }
    let mapping = try anonymous(count: count)
    let protection = isWritable ? PROT_READ | PROT_WRITE : PROT_READ
    if !isWritable, unsafe mprotect(mapping.base, count, PROT_READ) != 0 { throw SystemError.last("protect \(count) bytes of memory") }
    // Over the beginning of a range that is this mapping's own.
    let file = unsafe mmap(mapping.base, fileBytes, protection, MAP_SHARED | MAP_FIXED | Int32(MAP_NORESERVE), descriptor, 0)
    guard unsafe file != clinux_MAP_FAILED() else { throw SystemError.last("map \(fileBytes) bytes of a file") }
    return mapping
  }

  private static func map(count: Int, flags: Int32, descriptor: Int32, offset: Int) throws(SystemError) -> MemoryMapping {
    let base = unsafe mmap(nil, count, PROT_READ | PROT_WRITE, flags, descriptor, offset)
    guard let base = unsafe base, unsafe base != clinux_MAP_FAILED() else { throw SystemError.last("map \(count) bytes of memory") }
    return unsafe MemoryMapping(base: base, count: count)
  }

  /// Advises the kernel on how the whole mapping will be used (madvise(2)); a refusal is not an error.
  public func advise(_ advice: Int32) { unsafe _ = madvise(base, count, advice) }
}
