import CLinux
import DiskImage
import DiskImageTesting
import Glibc
import Platform
import Testing

@Suite struct AndroidSparseTests {
  private let scratch: Scratch

  init() throws { scratch = try Scratch() }

  private func file(_ bytes: [UInt8], change: (inout RawImage.Options) -> Void = { _ in }) throws -> RawImage {
    let path = try scratch.file(size: 0)
    let stream = unsafe fopen(path, "w")
    unsafe fwrite(bytes, 1, bytes.count, stream)
    unsafe fclose(stream)
    var options = RawImage.Options()
    options.isReadOnly = true
    options.isLocked = false
    options.allowsAnySize = true
    change(&options)
    return try RawImage(path: path, options: options)
  }

  private func error(of bytes: [UInt8]) -> AndroidSparseError? {
    do {
      _ = try AndroidSparseImage(file: try file(bytes))
      return nil
    } catch { return error as? AndroidSparseError }
  }

  /// Reads a disk through a channel.
  private func read(_ disk: some DiskImage, offset: Int, count: Int, pieces: [Range<Int>]? = nil) throws -> [UInt8] {
    let channel = try disk.makeChannel(depth: 1, buffers: nil, ring: nil)
    try channel.start()
    defer { channel.end() }
    let buffer = try TestBuffer(count)
    buffer.fill(seed: 3)
    try #require(try channel.run(.read, offset: UInt64(offset), count: count, buffer: buffer, pieces: pieces) == 0)
    return buffer.bytes
  }

  @Test("Every range of sectors reads as the image says") func everyRange() throws {
    let sample = AndroidSparseFile.sample
    let disk = try AndroidSparseImage(file: try file(sample.bytes))
    let expected = sample.contents
    #expect(disk.size == UInt64(expected.count) && disk.isReadOnly && !disk.discards)
    for start in stride(from: 0, to: expected.count, by: 512) {
      for end in stride(from: start + 512, through: expected.count, by: 512) {
        #expect(try read(disk, offset: start, count: end - start) == Array(expected[start..<end]), "\(start)..<\(end)")
      }
    }
  }

  @Test("Buffers cut anywhere get the same bytes", arguments: [5, 7, 511, 513, 1023]) func oddBuffers(length: Int) throws {
    let sample = AndroidSparseFile.sample
    let disk = try AndroidSparseImage(file: try file(sample.bytes))
    let expected = sample.contents
    // As much as the pieces of a slot hold.
    let count = min(expected.count, length * 200) / 512 * 512
    let pieces = stride(from: 0, to: count, by: length).map { $0..<min($0 + length, count) }
    for start in stride(from: 0, through: expected.count - count, by: 512) {
      #expect(try read(disk, offset: start, count: count, pieces: pieces) == Array(expected[start..<start + count]))
    }
  }

  @Test("Headers may be longer than their fields, chunks may be many, and what follows the last is ignored") func variants() throws {
    var long = AndroidSparseFile.sample
    long.headerSizes = (40, 16)
    #expect(try read(try AndroidSparseImage(file: try file(long.bytes)), offset: 0, count: long.contents.count) == long.contents)
    let trailing = AndroidSparseFile.sample.bytes + [1, 2, 3]
    #expect(error(of: trailing) == nil)
    let blocks = (0..<5000).map { index -> AndroidSparseFile.Content in
      index % 3 == 0 ? .raw([UInt8](repeating: UInt8(index % 251), count: 512)) : .fill([UInt8(index % 256), 0, 1, 2], blocks: 1)
    }
    let many = AndroidSparseFile(blockSize: 512, blocks)
    let contents = many.contents
    let disk = try AndroidSparseImage(file: try file(many.bytes))
    for start in stride(from: 0, to: contents.count - 65536, by: 512 * 97) {
      #expect(try read(disk, offset: start, count: 65536) == Array(contents[start..<start + 65536]))
    }
  }

  @Test("A disk of many TiB takes no more than its chunks") func hugeDisk() throws {
    // 2^32 - 2 blocks of 4096 bytes.
    var bytes = AndroidSparseFile([]).bytes
    bytes.replaceSubrange(16..<24, with: [0xfe, 0xff, 0xff, 0xff, 2, 0, 0, 0])
    bytes += [0xc3, 0xca, 0, 0, 0xff, 0xff, 0xff, 0x7f, 12, 0, 0, 0] + [0xc2, 0xca, 0, 0, 0xff, 0xff, 0xff, 0x7f, 16, 0, 0, 0, 1, 2, 3, 4]
    let disk = try AndroidSparseImage(file: try file(bytes))
    #expect(disk.size == 4096 * ((1 << 32) - 2))
    #expect(try read(disk, offset: Int(disk.size) - 512, count: 512).prefix(5) == [1, 2, 3, 4, 1])
    #expect(try read(disk, offset: 4096 * Int(UInt32.max / 2) - 512, count: 1024).suffix(513).prefix(3) == [0, 1, 2])
  }

  @Test("Writes are refused, by the image and by its channel") func readOnly() throws {
    #expect(throws: AndroidSparseError.writable) {
      try AndroidSparseImage(file: try file(AndroidSparseFile.sample.bytes) { $0.isReadOnly = false })
    }
    let disk = try AndroidSparseImage(file: try file(AndroidSparseFile.sample.bytes))
    let channel = try disk.makeChannel(depth: 1, buffers: nil, ring: nil)
    try channel.start()
    defer { channel.end() }
    let buffer = try TestBuffer(512)
    #expect(try channel.run(.write, count: 512, buffer: buffer) == EROFS)
    #expect(try channel.run(.discard, count: 512) == EROFS)
    #expect(try channel.run(.writeZeroes(mayDiscard: true), count: 512) == EROFS)
    #expect(try channel.run(.flush) == 0)
    #expect(throws: DiskError.self) { try disk.resize(to: 512) }
    #expect(try channel.run(.read, offset: disk.size, count: 512, buffer: buffer) == EINVAL)
  }

  @Test("Each field of a header is checked") func hostileHeaders() throws {
    let sample = AndroidSparseFile.sample
    func changed(_ change: (inout AndroidSparseFile) -> Void) -> [UInt8] {
      var file = sample
      change(&file)
      return file.bytes
    }
    func patched(_ offset: Int, _ bytes: [UInt8]) -> [UInt8] {
      var file = sample.bytes
      file.replaceSubrange(offset..<offset + bytes.count, with: bytes)
      return file
    }
    #expect(error(of: [1, 2]) == .wrongMagic && error(of: patched(0, [0])) == .wrongMagic)
    #expect(error(of: patched(4, [2])) == .unknownVersion(2))
    #expect(error(of: changed { $0.headerSizes = (27, 12) }) == .shortHeader(fileHeader: 27, chunkHeader: 12))
    #expect(error(of: patched(10, [11, 0])) == .shortHeader(fileHeader: 28, chunkHeader: 11))
    #expect(error(of: patched(12, [0, 0, 0, 0])) == .blockSize(0) && error(of: patched(12, [2, 2, 0, 0])) == .blockSize(514))
    #expect(error(of: patched(16, [0, 0, 0, 0])) == .diskSize(blocks: 0, blockSize: 512))
    // Nearly 2^64 bytes.
    #expect(error(of: patched(12, [0xfc] + [UInt8](repeating: 0xff, count: 7))) == .diskSize(blocks: .max, blockSize: .max - 3))
    #expect(error(of: patched(16, [17, 0, 0, 0])) == .blockCount(chunks: 12, header: 17))
    #expect(error(of: patched(16, [4, 0, 0, 0])) == .blockCount(chunks: 5, header: 4))
    let room = UInt64(sample.bytes.count - 28) / 12
    #expect(error(of: patched(20, [0xff, 0xff, 0xff, 0xff])) == .tooManyChunks(.max, limit: room))
    #expect(error(of: patched(20, [8, 0, 0, 0])) == nil)
    #expect(error(of: patched(20, [7, 0, 0, 0])) == .blockCount(chunks: 10, header: 12))
    #expect(error(of: patched(8, [0xff, 0xff])) == .truncated(chunk: nil))
    // The first chunk: its type, its blocks, its length.
    #expect(error(of: patched(28, [0])) == .chunkType(0xca00, chunk: 0))
    #expect(error(of: patched(32, [3])) == .chunkSize(bytes: 1036, chunk: 0))
    #expect(error(of: patched(32, [0xff, 0xff, 0xff, 0xff])) == .chunkSize(bytes: 1036, chunk: 0))
    #expect(error(of: patched(36, [11, 0, 0, 0])) == .chunkSize(bytes: 11, chunk: 0))
    #expect(error(of: patched(36, [0, 0, 0, 0])) == .chunkSize(bytes: 0, chunk: 0))
    for wrong in [AndroidSparseError.wrongMagic, .truncated(chunk: 3), .unreadable(code: EIO), .direct] {
      #expect(!wrong.description.isEmpty)
    }
  }

  @Test("An image that ends too early is refused wherever it ends") func truncated() throws {
    let bytes = AndroidSparseFile.sample.bytes
    for count in 1..<bytes.count { #expect(error(of: Array(bytes.prefix(count))) != nil, "\(count)") }
  }

  @Test("Wrong bytes break no promise") func fuzz() {
    let bytes = AndroidSparseFile.sample.bytes
    #expect(fuzzAndroidSparse(bytes)?.size == UInt64(AndroidSparseFile.sample.contents.count))
    for index in bytes.indices where index < 28 || index > 1060 {
      for byte in [0, 1, 2, 4, 0x0c, 0x7f, 0x80, 0xc1, 0xc4, 0xff] as [UInt8] {
        var wrong = bytes
        wrong[index] = byte
        fuzzAndroidSparse(wrong)
      }
    }
  }

  @Test("What img2simg makes reads as what it was made of", .enabled(if: hasProgram("img2simg"), "needs android-sdk-libsparse-utils"))
  func realImage() throws {
    let raw = try scratch.file("raw", size: 0)
    let simg = try scratch.file("simg", size: 0)
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    for index in 100_000..<300_000 { bytes[index] = UInt8(truncatingIfNeeded: index &* 31 ^ index >> 9) }
    for index in 400_000..<600_000 { bytes[index] = [0xde, 0xad, 0xbe, 0xef][index % 4] }
    let stream = unsafe fopen(raw, "w")
    unsafe fwrite(bytes, 1, bytes.count, stream)
    unsafe fclose(stream)
    try #require(unsafe system("img2simg '\(raw)' '\(simg)'") == 0)
    var options = RawImage.Options()
    options.isReadOnly = true
    options.allowsAnySize = true
    let disk = try AndroidSparseImage(file: try RawImage(path: simg, options: options))
    #expect(try read(disk, offset: 0, count: bytes.count) == bytes)
  }
}

/// Whether a program is installed.
private func hasProgram(_ name: String) -> Bool { unsafe system("command -v \(name) >/dev/null 2>&1") == 0 }
