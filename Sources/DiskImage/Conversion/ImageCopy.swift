internal import CLinux
internal import Glibc
internal import Platform
internal import Synchronization

/// Copies the content of a disk to another of the same size that reads as zeroes so far; what is zero is not written.
///
/// Several threads read side by side, each with a buffer of its own. They write one after the other and in the order of the disk, as the file
/// system would have them do for one file anyway: so the same disk always becomes the same file, without gaps.
public final class ImageCopy: Sendable {
  /// How far a copy is.
  public struct Progress: Sendable, Equatable {
    /// The bytes of the disk that are done, zeroes included.
    public var done: UInt64
    /// The bytes of the disk.
    public var total: UInt64
  }

  /// The most bytes that a thread reads at once.
  static let pieceSize = 1 << 20
  /// What is looked at as a whole to find zeroes: the page of a file.
  static let grain = 4096

  private struct State {
    /// Up to here the disk was dealt out.
    var next: UInt64 = 0
    /// Of the extent that `next` is in, what is not dealt out yet.
    var dataLeft: UInt64 = 0
    var done: UInt64 = 0
    /// Signalled when the piece that was dealt out last is written.
    var last: Platform.Semaphore?
    var failure: DiskError?
    var running = 0
  }

  private let source: any SynchronousDisk
  private let target: any SynchronousDisk
  private let state = Mutex(State())
  /// Signalled for each piece that is done, and by each thread that ends.
  private let advance: EventFD

  /// Prepares a copy.
  ///
  /// - Parameters:
  ///   - source: What is copied; nobody writes to it meanwhile.
  ///   - target: At least as large.
  public init(from source: any SynchronousDisk, to target: any SynchronousDisk) throws(DiskError) {
    guard target.size >= source.size else { throw .cannotResize("the target", "it is smaller than the source") }
    self.source = source
    self.target = target
    do { advance = try EventFD() } catch { throw .system(error) }
  }

  /// Copies everything.
  ///
  /// - Parameters:
  ///   - threads: How many work; from 1.
  ///   - report: Is told from time to time how far the copy is, by the calling thread.
  /// - Throws: The first failure of either disk; the target is of no use then.
  public func run(threads: Int = 2, report: (Progress) -> Void = { _ in }) throws(DiskError) {
    var workers: [PThread] = []
    for index in 0..<max(1, threads) {
      do throws(SystemError) { workers.append(try startWorker(index)) } catch {
        // One is enough.
        if workers.isEmpty { throw .system(error) }
      }
    }
    while state.withLock({ $0.running }) > 0 {
      advance.wait(milliseconds: 200)
      advance.drain()
      report(Progress(done: state.withLock { $0.done }, total: source.size))
    }
    for worker in workers { worker.join() }
    if let failure = state.withLock({ $0.failure }) { throw failure }
  }

  private func startWorker(_ index: Int) throws(SystemError) -> PThread {
    let buffer = try MemoryMapping.anonymous(count: ImageCopy.pieceSize)
    state.withLock { $0.running += 1 }
    do { return try PThread(name: "copy-\(index)") { [self] in work(with: buffer) } } catch {
      state.withLock { $0.running -= 1 }
      throw error
    }
  }

  private func work(with buffer: MemoryMapping) {
    do throws(DiskError) {
      while let piece = try nextPiece() {
        try copy(piece, through: buffer)
        finish(piece.count)
      }
    } catch { fail(error) }
    state.withLock { $0.running -= 1 }
    advance.signal()
  }

  private func finish(_ bytes: UInt64) {
    state.withLock { $0.done += bytes }
    advance.signal()
  }

  private func fail(_ error: DiskError) {
    state.withLock { state in
      if state.failure == nil { state.failure = error }
      state.next = source.size
    }
  }

  // MARK: Dealing out

  private struct Piece {
    let offset: UInt64
    let count: UInt64
    /// The piece before this one is written; nil for the first.
    let turn: Platform.Semaphore?
    /// To be signalled when this one is, or never will be.
    let isDone = Platform.Semaphore()
  }

  /// The next data to copy; nil at the end.
  private func nextPiece() throws(DiskError) -> Piece? {
    var skipped: UInt64 = 0
    defer { if skipped > 0 { finish(skipped) } }
    return try state.withLock { state throws(DiskError) in
      while state.next < source.size {
        if state.dataLeft == 0 {
          let extent = try source.extent(at: state.next)
          let count = min(max(extent.count, 1), source.size - state.next)
          guard !extent.isZero else {
            state.next += count
            skipped += count
            continue
          }
          state.dataLeft = count
        }
        let piece = Piece(offset: state.next, count: min(state.dataLeft, UInt64(ImageCopy.pieceSize)), turn: state.last)
        state.last = piece.isDone
        state.next += piece.count
        state.dataLeft -= piece.count
        return piece
      }
      return nil
    }
  }

  // MARK: Copying

  private func copy(_ piece: Piece, through buffer: MemoryMapping) throws(DiskError) {
    let count = Int(piece.count)
    defer { piece.isDone.signal() }
    try transfer(source, isWrite: false, buffer, from: 0, count: count, offset: piece.offset)
    piece.turn?.wait()
    var start = 0
    while start < count {
      // In bounds: both stay below the piece's length, which the buffer has.
      let zeroes = unsafe ImageCopy.prefix(buffer.base + start, count - start, isZero: true)
      start += zeroes
      guard start < count else { break }
      let data = unsafe ImageCopy.prefix(buffer.base + start, count - start, isZero: false)
      try transfer(target, isWrite: true, buffer, from: start, count: data, offset: piece.offset + UInt64(start))
      start += data
    }
  }

  /// How many bytes at the start, in whole grains, are zero, or belong to grains that are not.
  @unsafe static func prefix(_ start: UnsafeRawPointer, _ count: Int, isZero: Bool) -> Int {
    var done = 0
    while done < count {
      let length = min(grain, count - done)
      // In bounds by the line before.
      guard unsafe Self.isZero(start + done, length) == isZero else { break }
      done += length
    }
    return done
  }

  /// Whether all of some bytes are zero: the first ones are, and each is as the one so far before it.
  @unsafe private static func isZero(_ start: UnsafeRawPointer, _ count: Int) -> Bool {
    guard count >= 16 else { return (0..<count).allSatisfy { unsafe start.load(fromByteOffset: $0, as: UInt8.self) == 0 } }
    let (first, second): (UInt64, UInt64) = unsafe (
      start.loadUnaligned(as: UInt64.self), start.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
    )
    guard first | second == 0 else { return false }
    return unsafe memcmp(start, start + 16, count - 16) == 0
  }

  private func transfer(
    _ disk: any SynchronousDisk, isWrite: Bool, _ buffer: MemoryMapping, from start: Int, count: Int, offset: UInt64
  ) throws(DiskError) {
    do throws(DiskFailure) { try unsafe disk.transferAll(isWrite: isWrite, buffer.base + start, count: count, at: offset) } catch {
      throw .system(SystemError(isWrite ? "write the copy" : "read the image", code: error.code))
    }
  }
}
