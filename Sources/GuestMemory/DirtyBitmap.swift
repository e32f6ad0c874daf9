internal import CLinux
internal import Platform

/// One bit a page: which pages of a region the VMM or its devices wrote. Writes of vCPUs are in the kernel's own log.
///
/// Bits are set from any thread after the write (release) and taken with an exchange (acquire): whoever takes a bit sees the write it
/// stands for, and none is lost between two takes.
final class DirtyBitmap: Sendable {
  private let bits: MemoryMapping
  private let pages: Int

  init(bytes: Int) throws(SystemError) {
    pages = (bytes + 4095) / 4096
    bits = try MemoryMapping.anonymous(count: (pages + 7) / 8)
  }

  func mark(offset: Int, count: Int) {
    guard count > 0 else { return }
    for page in (offset / 4096)...((offset + count - 1) / 4096) where page < pages {
      // In range: page < pages, and the mapping holds a bit for each.
      _ = unsafe clinux_fetch_or_8(bits.base.advanced(by: page / 8).assumingMemoryBound(to: UInt8.self), 1 << UInt8(page % 8))
    }
  }

  /// The bitmap, least significant bit first, cleared by the reading.
  func take() -> [UInt8] {
    (0..<(pages + 7) / 8).map { unsafe clinux_exchange_8(bits.base.advanced(by: $0).assumingMemoryBound(to: UInt8.self), 0) }
  }
}
