import CLinux
import DiskImage
import DiskImageTesting
import Glibc
import Synchronization

/// A file that counts what is read, and of which a few operations fail: those after them are done.
final class FlakyFile: ImageFile {
  private struct State {
    var reads = 0
    var failingReads = 0
    var failingWrites = 0
    var writesBefore = 0
  }

  private let file: FaultyFile
  private let state = Mutex(State())
  var length: UInt64 { file.length }

  init(_ file: FaultyFile) { self.file = file }

  convenience init(_ content: [UInt8]) { self.init(FaultyFile(content)) }

  var content: [UInt8] { file.content }
  var reads: Int { state.withLock { $0.reads } }

  /// Lets the next reads fail, and the next writes after some that do not.
  func fail(reads: Int = 0, writes: Int = 0, after writesBefore: Int = 0) {
    state.withLock {
      $0.failingReads = reads
      $0.failingWrites = writes
      $0.writesBefore = writesBefore
    }
  }

  @unsafe func read(_ vectors: BufferVectors, at offset: UInt64) -> Int {
    let fails = state.withLock { state in
      state.reads += 1
      guard state.failingReads > 0 else { return false }
      state.failingReads -= 1
      return true
    }
    return fails ? -Int(EIO) : unsafe file.read(vectors, at: offset)
  }

  @unsafe func write(_ vectors: BufferVectors, at offset: UInt64) -> Int {
    let fails = state.withLock { state in
      guard state.failingWrites > 0 else { return false }
      guard state.writesBefore == 0 else {
        state.writesBefore -= 1
        return false
      }
      state.failingWrites -= 1
      return true
    }
    return fails ? -Int(EIO) : unsafe file.write(vectors, at: offset)
  }

  func synchronize() -> Int32 { file.synchronize() }
  func extend(to length: UInt64) -> Int32 { file.extend(to: length) }
  func punchHole(at offset: UInt64, count: UInt64) -> Int32 { file.punchHole(at: offset, count: count) }
}
