/// A file whose writes need not reach the disk in the order in which they were made: for an image in the making.
final class UnorderedFile: ImageFile {
  private let file: any ImageFile

  let length: UInt64

  /// - Parameter length: The file's bytes, where it was made longer since it was opened.
  init(_ file: any ImageFile, length: UInt64? = nil) {
    self.file = file
    self.length = length ?? file.length
  }

  var hasFixedLength: Bool { file.hasFixedLength }

  @unsafe func read(_ vectors: BufferVectors, at offset: UInt64) -> Int { unsafe file.read(vectors, at: offset) }
  @unsafe func write(_ vectors: BufferVectors, at offset: UInt64) -> Int { unsafe file.write(vectors, at: offset) }
  func synchronize() -> Int32 { 0 }
  func extend(to length: UInt64) -> Int32 { file.extend(to: length) }
  func punchHole(at offset: UInt64, count: UInt64) -> Int32 { file.punchHole(at: offset, count: count) }
}
