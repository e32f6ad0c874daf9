internal import CLinux
internal import Glibc
internal import Platform

/// A checked window on contiguous guest RAM. Its only verbs are load, store, copy, and hand to a system call.
///
/// It stays valid while the `GuestMemory` it came from lives; it keeps the mapping alive itself.
@safe public struct GuestSlice: @unchecked Sendable {
  private let base: UnsafeMutableRawPointer
  /// Where the window begins.
  public let address: GuestAddress
  /// The number of bytes in the window.
  public let count: Int
  private let mapping: MemoryMapping
  private let dirty: DirtyBitmap?
  private let regionBase: GuestAddress

  init(base: UnsafeMutableRawPointer, address: GuestAddress, count: Int, region: GuestMemory.Region) {
    unsafe self.base = base
    self.address = address
    self.count = count
    mapping = region.mapping
    dirty = region.dirty
    regionBase = region.base
  }

  /// Whether `length` bytes at `offset` are inside.
  private func holds(_ offset: Int, _ length: Int) -> Bool { offset >= 0 && length >= 0 && offset <= count && length <= count - offset }

  private func checked(_ offset: Int, _ length: Int) throws(GuestMemoryError) -> UnsafeMutableRawPointer {
    guard holds(offset, length) else { throw .outOfRange(addressOf(offset), count: UInt64(bitPattern: Int64(length))) }
    return unsafe base.advanced(by: offset)
  }

  /// The guest address of any offset, for messages: wraps where the offset is nonsense.
  private func addressOf(_ offset: Int) -> GuestAddress { GuestAddress(address.rawValue &+ UInt64(bitPattern: Int64(offset))) }

  /// Notes a write; after it, so that whoever takes the page's bit finds what was written. The range was checked before.
  private func mark(_ offset: Int, _ length: Int) {
    dirty?.mark(offset: Int(address.rawValue - regionBase.rawValue) + offset, count: length)
  }

  /// A smaller window.
  public func slice(_ offset: Int, count length: Int) throws(GuestMemoryError) -> GuestSlice {
    let start = try unsafe checked(offset, length)
    return unsafe GuestSlice(base: start, address: addressOf(offset), count: length, of: self)
  }

  private init(base: UnsafeMutableRawPointer, address: GuestAddress, count: Int, of larger: GuestSlice) {
    unsafe self.base = base
    self.address = address
    self.count = count
    mapping = larger.mapping
    dirty = larger.dirty
    regionBase = larger.regionBase
  }

  /// Reads a little-endian integer, once.
  public func load<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, as type: T.Type = T.self) throws(GuestMemoryError) -> T {
    let source = try unsafe checked(offset, MemoryLayout<T>.size)
    return T(littleEndian: unsafe source.loadUnaligned(as: T.self))
  }

  /// Writes a little-endian integer.
  public func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at offset: Int) throws(GuestMemoryError) {
    let target = try unsafe checked(offset, MemoryLayout<T>.size)
    unsafe target.storeBytes(of: value.littleEndian, as: T.self)
    mark(offset, MemoryLayout<T>.size)
  }

  /// Reads an aligned 16-bit value; what the guest wrote before it is visible afterwards.
  public func loadAcquire16(_ offset: Int) throws(GuestMemoryError) -> UInt16 {
    let source = try unsafe aligned(offset, 2)
    return UInt16(littleEndian: unsafe clinux_load_acquire_16(source))
  }

  /// Writes an aligned 16-bit value; what was written before it is visible to a guest that reads it.
  public func storeRelease16(_ value: UInt16, at offset: Int) throws(GuestMemoryError) {
    let target = try unsafe aligned(offset, 2)
    unsafe clinux_store_release_16(target, value.littleEndian)
    mark(offset, 2)
  }

  private func aligned(_ offset: Int, _ length: Int) throws(GuestMemoryError) -> UnsafeMutableRawPointer {
    let pointer = try unsafe checked(offset, length)
    guard UInt(bitPattern: pointer) % UInt(length) == 0 else { throw .misaligned(addressOf(offset)) }
    return unsafe pointer
  }

  /// Copies `length` bytes at `offset` into an array.
  public func bytes(_ offset: Int = 0, count length: Int? = nil) throws(GuestMemoryError) -> [UInt8] {
    // An offset that is not inside is refused below, whatever is left after it.
    let length = length ?? (holds(offset, 0) ? count - offset : 0)
    let source = try unsafe checked(offset, length)
    return unsafe [UInt8](unsafeUninitializedCapacity: length) { buffer, initialized in
      if let target = buffer.baseAddress { unsafe memcpy(target, source, length) }
      initialized = length
    }
  }

  /// Copies `target.byteCount` bytes from `offset` on.
  public func copy(_ offset: Int, into target: inout MutableRawSpan) throws(GuestMemoryError) {
    let length = target.byteCount
    let source = try unsafe checked(offset, length)
    unsafe target.withUnsafeMutableBytes { buffer in
      if let start = buffer.baseAddress { unsafe memcpy(start, source, length) }
    }
  }

  /// Copies bytes in, at `offset`.
  public func copy(from bytes: [UInt8], at offset: Int) throws(GuestMemoryError) {
    // A span over the bytes of `UInt8` values: every byte is initialized.
    try unsafe copy(from: bytes.span.bytes, at: offset)
  }

  /// Copies bytes in, at `offset`.
  public func copy(from bytes: RawSpan, at offset: Int) throws(GuestMemoryError) {
    let length = bytes.byteCount
    let target = try unsafe checked(offset, length)
    unsafe bytes.withUnsafeBytes { buffer in
      if let start = buffer.baseAddress { unsafe memcpy(target, start, length) }
    }
    mark(offset, length)
  }

  /// Sets every byte.
  public func fill(_ byte: UInt8) {
    unsafe memset(base, Int32(byte), count)
    mark(0, count)
  }

  /// Notes that the kernel wrote the window just now, on behalf of an asynchronous call that got it through `withUnsafePointer`.
  public func markWritten() { mark(0, count) }

  /// Hands the window to a system call that reads or writes it; the pages count as written.
  ///
  /// The pointer is valid inside `body` only, or, for asynchronous calls, while this slice is kept. Never read through it in Swift:
  /// the guest may write at the same time.
  public func withUnsafePointer<Result>(_ body: (UnsafeMutableRawPointer) throws -> Result) rethrows -> Result {
    defer { mark(0, count) }
    return try unsafe body(base)
  }
}

/// Orders all memory accesses before it against all after it, as seen by the guest's processors too.
public func fullMemoryFence() { clinux_fence_full() }

/// Tells the processor that a loop waits for memory to change: it saves power, and leaves the core to its other thread.
public func pauseBetweenLooks() { clinux_pause() }
