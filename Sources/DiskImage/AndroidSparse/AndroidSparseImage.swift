internal import CLinux
internal import Glibc
public import Platform

/// An Android sparse image, as `img2simg` and Android's builds make them: a disk without its holes, for transport. It can only be read.
///
/// crosvm opens such images for writing too, and fails every write. Here they are refused when they are opened: one could overwrite what is in
/// the file, but neither holes nor fillings, so a disk would be writable in places; and checksums in the image would be wrong afterwards. Like
/// crosvm, this does not check those.
public final class AndroidSparseImage: SynchronousDisk {
  private let file: RawImage
  private let map: AndroidSparseMap

  /// Takes an open file as a sparse image. All its chunks' headers are read.
  ///
  /// - Parameter file: Opened read-only, not for direct I/O, with any size allowed (`RawImage.Options.allowsAnySize`).
  public init(file: RawImage) throws(AndroidSparseError) {
    guard file.isReadOnly else { throw .writable }
    guard !file.options.isDirect else { throw .direct }
    var window = FileWindow(file)
    map = try AndroidSparseMap(fileSize: file.size) { (offset, count) throws(AndroidSparseError) in
      try window.bytes(at: offset, count: count)
    }
    self.file = file
  }

  /// The number of bytes of the disk.
  public var size: UInt64 { map.size }
  /// Writes are refused.
  public var isReadOnly: Bool { true }
  /// Any sector.
  public var alignment: Int { 512 }
  /// Nothing can be discarded.
  public var discards: Bool { false }

  /// Refused.
  public func resize(to bytes: UInt64) throws(DiskError) {
    throw .cannotResize(file.path, "it is an Android sparse image, which is read-only")
  }

  /// Makes a way to the disk for one thread.
  public func makeChannel(depth: Int, buffers: (any AnyObject & Sendable)?, ring: IOUring?) throws(DiskError) -> any DiskChannel {
    try InlineChannel(disk: self, depth: depth, buffers: buffers)
  }

  /// Reads up to the end of a run; refuses writes.
  @unsafe public func transfer(isWrite: Bool, vectors: BufferVectors, offset: UInt64, isDurable: Bool) -> Int {
    guard !isWrite else { return -Int(EROFS) }
    guard let run = map.run(at: offset) else { return 0 }
    return unsafe vectors.withPrefix(Int(clamping: run.count)) { part in
      switch run.content {
      case .file(let position): unsafe file.transfer(isWrite: false, vectors: part, offset: position, isDurable: false)
      case .fill(let word): unsafe part.fill(word)
      }
    }
  }

  /// There is nothing to flush.
  public func flush() -> Int32 { 0 }

  /// Refused.
  public func discard(offset: UInt64, count: UInt64) -> Int32 { EROFS }

  /// Refused.
  public func writeZeroes(offset: UInt64, count: UInt64, mayDiscard: Bool) -> Int32 { EROFS }
}

/// Reads a file's headers a page at a time, for many of them may follow each other.
private struct FileWindow {
  private let file: RawImage
  private var page: [UInt8] = []
  private var start: UInt64 = 0

  init(_ file: RawImage) { self.file = file }

  /// Bytes of the file.
  ///
  /// - Parameter wanted: At most a page.
  mutating func bytes(at offset: UInt64, count wanted: Int) throws(AndroidSparseError) -> [UInt8] {
    let count = UInt64(page.count)
    if offset < start || offset - start > count || count - (offset - start) < UInt64(wanted) { try move(to: offset) }
    let inside = Int(offset - start)
    guard wanted >= 0, page.count - inside >= wanted else { throw .truncated(chunk: nil) }
    return Array(page[inside..<inside + wanted])
  }

  private mutating func move(to offset: UInt64) throws(AndroidSparseError) {
    (start, page) = (offset, [])
    guard offset < file.size else { return }
    do throws(DiskFailure) { page = try file.bytes(at: offset, count: Int(min(4096, file.size - offset))) } catch {
      throw .unreadable(code: error.code)
    }
  }
}

extension BufferVectors {
  /// Fills the buffers with four bytes again and again, across the borders between buffers.
  ///
  /// - Parameter word: The four bytes; the lowest is the first.
  /// - Returns: The number of bytes.
  @unsafe func fill(_ word: UInt32) -> Int {
    var word = word
    var sum = 0
    for index in unsafe 0..<count {
      let vector = unsafe first[index]
      guard let base = unsafe vector.iov_base else { continue }
      unsafe BufferVectors.fill(base, vector.iov_len, word)
      // What the next buffer begins with.
      let shift = UInt32(unsafe vector.iov_len % 4) * 8
      if shift > 0 { word = word >> shift | word << (32 - shift) }
      unsafe sum += vector.iov_len
    }
    return sum
  }

  private static func fill(_ base: UnsafeMutableRawPointer, _ count: Int, _ word: UInt32) {
    // Most fillings are of equal bytes, zeroes nearly always.
    let byte = UInt8(truncatingIfNeeded: word)
    if word == UInt32(byte) &* 0x0101_0101 {
      unsafe _ = memset(base, Int32(byte), count)
      return
    }
    // In bounds: each store ends at or before `count`.
    for offset in stride(from: 0, to: count - count % 4, by: 4) {
      unsafe base.storeBytes(of: word.littleEndian, toByteOffset: offset, as: UInt32.self)
    }
    for offset in count - count % 4..<count {
      unsafe base.storeBytes(of: UInt8(truncatingIfNeeded: word >> UInt32(8 * (offset % 4))), toByteOffset: offset, as: UInt8.self)
    }
  }
}
