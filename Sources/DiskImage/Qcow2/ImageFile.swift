internal import CLinux
internal import Glibc

/// The file behind an image of some format: what the format's engine does to it, and nothing else. So a test can put a file in its place
/// that fails, or that loses what was not synchronized.
///
/// Calls may come from several threads at a time.
public protocol ImageFile: AnyObject, Sendable {
  /// The file's bytes when it was opened.
  var length: UInt64 { get }

  /// Whether it cannot become longer: a block device. What it holds where the image has nothing yet is not known.
  var hasFixedLength: Bool { get }

  /// Reads into a list of buffers. Returns how many bytes there were, or a negated `errno`.
  @unsafe func read(_ vectors: BufferVectors, at offset: UInt64) -> Int

  /// Writes a list of buffers. Returns how many bytes were written, or a negated `errno`.
  @unsafe func write(_ vectors: BufferVectors, at offset: UInt64) -> Int

  /// Puts what was written, and the length, on stable storage. Returns zero or an `errno`, as do the next two.
  func synchronize() -> Int32

  /// Makes the file longer, by zeroes.
  func extend(to length: UInt64) -> Int32

  /// Gives a range back to the file system, so that it reads as zeroes: `EOPNOTSUPP` where that is not possible.
  func punchHole(at offset: UInt64, count: UInt64) -> Int32
}

extension ImageFile {
  /// A file grows.
  public var hasFixedLength: Bool { false }
}

extension RawImage: ImageFile {
  /// The file's bytes when it was opened.
  public var length: UInt64 { openedLength }

  /// Whether it is a block device.
  public var hasFixedLength: Bool { isDevice }

  /// Reads by one system call.
  @unsafe public func read(_ vectors: BufferVectors, at offset: UInt64) -> Int {
    unsafe transfer(isWrite: false, vectors: vectors, offset: offset, isDurable: false)
  }

  /// Writes by one system call.
  @unsafe public func write(_ vectors: BufferVectors, at offset: UInt64) -> Int {
    unsafe transfer(isWrite: true, vectors: vectors, offset: offset, isDurable: false)
  }

  /// fdatasync(2).
  public func synchronize() -> Int32 { flush() }

  /// ftruncate(2); a block device is full when its length does not suffice.
  public func extend(to length: UInt64) -> Int32 {
    if isDevice { return length <= openedLength ? 0 : ENOSPC }
    while ftruncate(number, Int(clamping: length)) != 0 { if errno != EINTR { return errno } }
    return 0
  }

  /// fallocate(2) with FALLOC_FL_PUNCH_HOLE.
  public func punchHole(at offset: UInt64, count: UInt64) -> Int32 {
    while fallocate(number, Allocation.punchHole, Int(clamping: offset), Int(clamping: count)) != 0 { if errno != EINTR { return errno } }
    return 0
  }
}

extension ImageFile {
  /// Reads `count` bytes; what is beyond the file's end is zero.
  @unsafe func load(_ target: UnsafeMutableRawPointer, count: Int, at offset: UInt64) throws(DiskFailure) {
    var done = 0
    while done < count {
      var piece = unsafe iovec(iov_base: target + done, iov_len: count - done)
      let result = unsafe withUnsafeMutablePointer(to: &piece) {
        unsafe read(BufferVectors(first: $0, count: 1), at: offset + UInt64(done))
      }
      guard result >= 0 else { throw DiskFailure(Int32(-result)) }
      if result == 0 {
        unsafe memset(target + done, 0, count - done)
        return
      }
      done += result
    }
  }

  /// Writes `count` bytes.
  @unsafe func store(_ source: UnsafeRawPointer, count: Int, at offset: UInt64) throws(DiskFailure) {
    var done = 0
    while done < count {
      // The list has no constant form; a write only reads it.
      var piece = unsafe iovec(iov_base: UnsafeMutableRawPointer(mutating: source + done), iov_len: count - done)
      let result = unsafe withUnsafeMutablePointer(to: &piece) {
        unsafe write(BufferVectors(first: $0, count: 1), at: offset + UInt64(done))
      }
      guard result > 0 else { throw DiskFailure(result == 0 ? EIO : Int32(-result)) }
      done += result
    }
  }

  /// Reads bytes; what is beyond the file's end is zero.
  func bytes(at offset: UInt64, count: Int) throws(DiskFailure) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let failure = unsafe bytes.withUnsafeMutableBytes { target -> DiskFailure? in
      guard let base = target.baseAddress else { return nil }
      do throws(DiskFailure) { try unsafe load(base, count: count, at: offset) } catch { return error }
      return nil
    }
    if let failure { throw failure }
    return bytes
  }

  /// Writes bytes.
  func put(_ bytes: [UInt8], at offset: UInt64) throws(DiskFailure) {
    let failure = unsafe bytes.withUnsafeBytes { source -> DiskFailure? in
      guard let base = source.baseAddress else { return nil }
      do throws(DiskFailure) { try unsafe store(base, count: bytes.count, at: offset) } catch { return error }
      return nil
    }
    if let failure { throw failure }
  }

  /// Reads numbers of 64 bits, most significant byte first.
  func words(at offset: UInt64, count: Int) throws(DiskFailure) -> [UInt64] {
    var words = [UInt64](repeating: 0, count: count)
    let failure = unsafe words.withUnsafeMutableBytes { target -> DiskFailure? in
      guard let base = target.baseAddress else { return nil }
      do throws(DiskFailure) { try unsafe load(base, count: count * 8, at: offset) } catch { return error }
      return nil
    }
    if let failure { throw failure }
    for index in words.indices { words[index] = UInt64(bigEndian: words[index]) }
    return words
  }

  func barrier() throws(DiskFailure) {
    let code = synchronize()
    if code != 0 { throw DiskFailure(code) }
  }
}
