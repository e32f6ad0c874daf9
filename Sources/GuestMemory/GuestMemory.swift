internal import CLinux
internal import Glibc
public import Platform

/// The guest's RAM: one sealed memory file, mapped region by region.
///
/// The guest changes its memory while anybody reads it. So nothing here hands out a reference to it: values are copied in and out, and
/// a `GuestSlice` knows only how to load, store, copy, and go to a system call.
public final class GuestMemory: Sendable {
  /// A contiguous piece of guest RAM.
  public struct Region: Sendable {
    /// Its first guest-physical address.
    public let base: GuestAddress
    /// Its length in bytes, a multiple of 4096.
    public let size: UInt64
    /// Where it begins in the memory file.
    public let fileOffset: UInt64
    let mapping: MemoryMapping
    let dirty: DirtyBitmap?

    /// Where the region begins in this process, for KVM_SET_USER_MEMORY_REGION.
    public var hostAddress: UInt64 { unsafe UInt64(UInt(bitPattern: mapping.base)) }
    /// The first address after the region.
    public var end: UInt64 { base.rawValue + size }
  }

  /// The regions, by rising address.
  public let regions: [Region]
  /// The file behind all regions, to be sent to device processes.
  public let file: MemoryFile

  /// Makes zeroed guest memory.
  ///
  /// - Parameters:
  ///   - regions: Page-aligned pieces by rising address, with a hole between any two (touching pieces belong together).
  ///   - tracksWrites: Whether writes of the VMM are noted page by page, for `takeDirtyPages`.
  /// - Throws: `badLayout` or `system`.
  public convenience init(regions layout: [(base: GuestAddress, size: UInt64)], tracksWrites: Bool = false) throws(GuestMemoryError) {
    let total = try GuestMemory.checkedTotal(layout)
    let file: MemoryFile
    do { file = try MemoryFile(name: "crosvm-guest", size: total) } catch { throw .system(error) }
    try self.init(file: file, regions: layout, tracksWrites: tracksWrites)
  }

  /// Maps guest memory that another process made.
  ///
  /// - Parameters: As above; the file holds the regions one after the other.
  /// - Throws: `badLayout`, also when the file is too short, or `system`.
  public init(file: MemoryFile, regions layout: [(base: GuestAddress, size: UInt64)], tracksWrites: Bool = false) throws(GuestMemoryError) {
    let total = try GuestMemory.checkedTotal(layout)
    guard file.size >= total else { throw .badLayout("the memory file has \(file.size) bytes, the regions \(total)") }
    self.file = file
    do {
      var offset = 0
      var made: [Region] = []
      for piece in layout {
        let mapping = try file.map(offset: offset, count: Int(piece.size))
        let dirty = tracksWrites ? try DirtyBitmap(bytes: Int(piece.size)) : nil
        made.append(Region(base: piece.base, size: piece.size, fileOffset: UInt64(offset), mapping: mapping, dirty: dirty))
        offset += Int(piece.size)
      }
      regions = made
    } catch { throw .system(error) }
  }

  private static func checkedTotal(_ layout: [(base: GuestAddress, size: UInt64)]) throws(GuestMemoryError) -> Int {
    var total: UInt64 = 0
    var previousEnd: UInt64?
    for piece in layout {
      let (end, wraps) = piece.base.rawValue.addingReportingOverflow(piece.size)
      guard piece.size > 0, !wraps else { throw .badLayout("a region at \(piece.base) is empty or wraps") }
      guard piece.base.rawValue % 4096 == 0, piece.size % 4096 == 0 else {
        throw .badLayout("a region at \(piece.base) is not page-aligned")
      }
      if let previousEnd, piece.base.rawValue <= previousEnd { throw .badLayout("a region at \(piece.base) touches the one before it") }
      previousEnd = end
      let (sum, overflow) = total.addingReportingOverflow(piece.size)
      guard !overflow, sum <= UInt64(Int.max) else { throw .badLayout("the regions together exceed \(Int.max) bytes") }
      total = sum
    }
    guard total > 0 else { throw .badLayout("there is no region") }
    return Int(total)
  }

  /// The number of bytes of RAM.
  public var size: UInt64 { regions.reduce(0) { $0 + $1.size } }

  /// A checked window on `count` bytes at `address`.
  ///
  /// - Throws: `outOfRange` unless all bytes are in one region. An empty window must begin inside one too.
  public func slice(_ address: GuestAddress, count: UInt64) throws(GuestMemoryError) -> GuestSlice {
    for region in regions where address >= region.base {
      let offset = address.rawValue - region.base.rawValue
      guard offset < region.size else { continue }
      guard count <= region.size - offset else { break }
      // In bounds: offset + count <= region.size, which is the mapping's length.
      return unsafe GuestSlice(
        base: region.mapping.base.advanced(by: Int(offset)), address: address, count: Int(count), region: region)
    }
    throw .outOfRange(address, count: count)
  }

  /// Reads a little-endian integer.
  public func load<T: FixedWidthInteger & BitwiseCopyable>(_ address: GuestAddress, as type: T.Type = T.self) throws(GuestMemoryError) -> T
  {
    try slice(address, count: UInt64(MemoryLayout<T>.size)).load(0, as: type)
  }

  /// Writes a little-endian integer.
  public func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at address: GuestAddress) throws(GuestMemoryError) {
    try slice(address, count: UInt64(MemoryLayout<T>.size)).store(value, at: 0)
  }

  /// Copies bytes out of guest memory.
  public func read(count: Int, at address: GuestAddress) throws(GuestMemoryError) -> [UInt8] {
    // A negative count reads as one too large for any region.
    try slice(address, count: UInt64(bitPattern: Int64(count))).bytes()
  }

  /// Copies bytes into guest memory.
  public func write(_ bytes: [UInt8], at address: GuestAddress) throws(GuestMemoryError) {
    try slice(address, count: UInt64(bytes.count)).copy(from: bytes, at: 0)
  }

  /// Copies bytes into guest memory.
  public func write(_ bytes: RawSpan, at address: GuestAddress) throws(GuestMemoryError) {
    try slice(address, count: UInt64(bytes.byteCount)).copy(from: bytes, at: 0)
  }

  /// Reads part of a file straight into guest memory.
  ///
  /// - Throws: `outOfRange` before anything is read; `endOfFile` when the file is shorter than its part; `system`.
  public func readFile(descriptor: Int32, offset: UInt64, count: UInt64, into address: GuestAddress) throws(GuestMemoryError) {
    let target = try slice(address, count: count)
    guard offset <= UInt64(Int64.max) - count else { throw .endOfFile(offset: offset, missing: count) }
    var done = 0
    while done < target.count {
      let length: Int
      do {
        length = try retrying("read a file into guest memory") {
          unsafe target.withUnsafePointer { unsafe pread(descriptor, $0 + done, target.count - done, Int(offset) + done) }
        }
      } catch { throw .system(error) }
      guard length > 0 else { throw .endOfFile(offset: offset, missing: UInt64(target.count - done)) }
      done += length
    }
  }

  /// Gives memory back to the host; it reads as zeroes afterwards, and comes back when it is written (madvise(2), MADV_REMOVE).
  ///
  /// Only whole pages of the host within the range are given back.
  ///
  /// - Throws: `outOfRange` unless all bytes are in one region; `system`.
  public func release(_ address: GuestAddress, count: UInt64) throws(GuestMemoryError) {
    let slice = try slice(address, count: count)
    let page = UInt64(sysconf(Int32(_SC_PAGESIZE)))
    // No overflow: the range lies in a region, which ends well below 2^64.
    let skipped = (page - address.rawValue % page) % page
    guard count > skipped, (count - skipped) / page > 0 else { return }
    let length = Int((count - skipped) / page * page)
    let code = unsafe slice.withUnsafePointer { start in
      // In bounds: skipped + length <= count. Readers of these bytes see zeroes, as they would if the guest had written them.
      unsafe madvise(start + Int(skipped), length, clinux_MADV_REMOVE) == 0 ? 0 : errno
    }
    guard code == 0 else { throw .system(SystemError("give guest memory back", code: code)) }
  }

  /// The pages of a region that the VMM wrote since the last call, a bit a page, and forgets them; empty unless writes are tracked.
  public func takeDirtyPages(regionIndex: Int) -> [UInt8] {
    guard regions.indices.contains(regionIndex) else { return [] }
    return regions[regionIndex].dirty?.take() ?? []
  }
}
