public import CLinux
internal import Glibc
public import GuestMemory
public import Platform

/// Pieces of memory, one after the other, that a frame is sent from or received into: a list for the kernel's vectored calls.
///
/// The list lies in a mapping of its own and slides through it, so that buffers are taken from its front and added at its end without copying.
@safe public final class FrameBuffers: @unchecked Sendable {
  // Used by one thread at a time; no state is shared.

  /// The most buffers in the list: what a vectored call takes (IOV_MAX).
  public static let limit = 1024

  private static let slots = 2 * limit
  private let mapping: MemoryMapping
  private var slices: [GuestSlice] = []
  /// How many of `slices` belong to buffers that were taken out, and are still to be forgotten.
  private var dropped = 0
  private var first = 0
  /// The number of buffers in the list, without the one behind it.
  public private(set) var count = 0
  /// The number of bytes in them.
  public private(set) var byteCount = 0
  /// A piece of the device's own memory behind the list, for what does not fit the list.
  private let spill: MemoryMapping?

  /// Makes an empty list.
  ///
  /// - Parameter spillBytes: The size of the device's own memory behind the list; zero for none.
  public init(spillBytes: Int = 0) throws(SystemError) {
    mapping = try .anonymous(count: unsafe FrameBuffers.slots * MemoryLayout<iovec>.stride + NetHeader.size)
    spill = spillBytes > 0 ? try .anonymous(count: spillBytes) : nil
  }

  private var vectors: UnsafeMutablePointer<iovec> { unsafe mapping.base.assumingMemoryBound(to: iovec.self) }

  /// Where a header of the device's own is.
  private var header: UnsafeMutableRawPointer { unsafe mapping.base + FrameBuffers.slots * MemoryLayout<iovec>.stride }

  /// Whether so many more buffers fit, besides the device's own memory.
  public func hasRoom(for more: Int) -> Bool { count + more < FrameBuffers.limit }

  /// Empties the list.
  public func removeAll() {
    slices.removeAll(keepingCapacity: true)
    (first, count, byteCount, dropped) = (0, 0, 0, 0)
  }

  /// Adds a buffer, which is kept until it is removed.
  ///
  /// - Returns: Whether there was room.
  @discardableResult
  public func append(_ slice: GuestSlice) -> Bool {
    guard hasRoom(for: 1) else { return false }
    // The pointer outlives the call, because the slice is kept beside it.
    unsafe slice.withUnsafePointer { unsafe put($0, slice.count) }
    slices.append(slice)
    return true
  }

  /// Begins the list with a header of the device's own; the list must be empty.
  func begin(with value: NetHeader) {
    unsafe header.storeBytes(of: value.first.littleEndian, as: UInt64.self)
    unsafe header.storeBytes(of: value.second.littleEndian, toByteOffset: 8, as: UInt32.self)
    unsafe put(header, NetHeader.size)
  }

  private func put(_ start: UnsafeMutableRawPointer, _ length: Int) {
    // One slot stays free behind the list for `spill`: the list has less than `limit` entries, and there are twice as many slots.
    if first + count + 1 >= FrameBuffers.slots { slide() }
    unsafe vectors[first + count] = iovec(iov_base: start, iov_len: length)
    count += 1
    byteCount += length
  }

  /// Moves the list to the start of its memory. Rare: once in `limit` buffers.
  private func slide() {
    unsafe vectors.update(from: vectors + first, count: count)
    first = 0
  }

  /// Takes the first buffers out.
  ///
  /// - Parameter removed: How many, all of them guest memory; no more than there are.
  public func removeFirst(_ removed: Int) {
    let removed = min(max(0, removed), count)
    for index in first..<first + removed { byteCount -= unsafe vectors[index].iov_len }
    first += removed
    count -= removed
    dropped += removed
    if count == 0 {
      removeAll()
    } else if dropped >= 64 {
      slices.removeFirst(dropped)
      dropped = 0
    }
  }

  /// The buffer at a place from the front.
  public func slice(_ index: Int) -> GuestSlice? {
    let place = dropped + index
    return slices.indices.contains(place) ? slices[place] : nil
  }

  /// Hands the list to a vectored call, the device's own memory behind it included.
  public func withVectors<Result>(_ body: (UnsafeMutablePointer<iovec>, Int32) -> Result) -> Result {
    var total = count
    if let spill {
      unsafe vectors[first + count] = iovec(iov_base: spill.base, iov_len: spill.count)
      total += 1
    }
    return unsafe body(vectors + first, Int32(clamping: total))
  }

  /// Copies from the device's own memory into a slice.
  ///
  /// - Parameter offset: From the start of that memory.
  /// - Returns: How many bytes were copied: what there is, or what fits.
  func copySpilled(from offset: Int, upTo end: Int, into slice: GuestSlice) -> Int {
    guard let spill, offset >= 0, offset < end, end <= spill.count else { return 0 }
    let length = min(end - offset, slice.count)
    // In bounds of both: at most what is left of each.
    unsafe slice.withUnsafePointer { unsafe _ = memcpy($0, spill.base + offset, length) }
    return length
  }

  // MARK: Single bytes of guest memory

  /// Reads a little-endian number, wherever the buffers are cut; bytes behind the last one read as zero.
  func load16(at offset: Int) -> UInt16 {
    if let first = slice(0), let value = try? first.load(offset, as: UInt16.self) { return value }
    return UInt16(load8(at: offset)) | UInt16(load8(at: offset + 1)) << 8
  }

  /// Writes a little-endian number, wherever the buffers are cut.
  func store16(_ value: UInt16, at offset: Int) {
    if let first = slice(0), (try? first.store(value, at: offset)) != nil { return }
    store8(UInt8(truncatingIfNeeded: value), at: offset)
    store8(UInt8(truncatingIfNeeded: value >> 8), at: offset + 1)
  }

  private func load8(at offset: Int) -> UInt8 { place(of: offset).flatMap { try? $0.slice.load($0.offset, as: UInt8.self) } ?? 0 }

  /// Writes a byte, wherever the buffers are cut; one behind the last is dropped.
  func store8(_ value: UInt8, at offset: Int) { if let place = place(of: offset) { try? place.slice.store(value, at: place.offset) } }

  private func place(of offset: Int) -> (slice: GuestSlice, offset: Int)? {
    var left = offset
    for index in 0..<count {
      guard let slice = slice(index) else { return nil }
      if left < slice.count { return (slice, left) }
      left -= slice.count
    }
    return nil
  }
}
