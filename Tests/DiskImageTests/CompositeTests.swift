import CLinux
import DiskImage
import DiskImageTesting
import Glibc
import Platform
import Testing

@Suite struct CompositeTests {
  private typealias Part = CompositeFile.Part

  private let scratch: Scratch

  init() throws { scratch = try Scratch() }

  private func error(of file: CompositeFile) -> CompositeError? { error(of: file.bytes) }

  private func error(of bytes: [UInt8]) -> CompositeError? {
    do throws(CompositeError) {
      _ = try CompositeSpecification(bytes)
      return nil
    } catch { return error }
  }

  private func image(_ name: String, size: Int, readOnly: Bool = false) throws -> RawImage {
    let path = try scratch.file(name, size: size)
    let file = unsafe fopen(path, "w")
    let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 13 &+ name.utf8.count &+ $0 >> 8) }
    unsafe fwrite(bytes, 1, size, file)
    unsafe fclose(file)
    return try open(path, readOnly: readOnly)
  }

  private func open(_ path: String, readOnly: Bool) throws -> RawImage {
    var options = RawImage.Options()
    options.isReadOnly = readOnly
    options.isLocked = false
    options.allowsAnySize = true
    return try RawImage(path: path, options: options)
  }

  private func bytes(of image: RawImage) throws -> [UInt8] {
    let file = unsafe fopen(image.path, "r")
    defer { unsafe _ = fclose(file) }
    var bytes = [UInt8](repeating: 0, count: Int(image.size))
    try #require(unsafe fread(&bytes, 1, bytes.count, file) == bytes.count)
    return bytes
  }

  /// A disk of parts that begin in the middle of sectors: read-only, writable from inside of its file, read-only.
  private func threeParts(readOnly: Bool = false) throws -> (CompositeImage, [RawImage]) {
    let specification = try CompositeSpecification(
      CompositeFile(
        [Part("a", offset: 0), Part("bb", offset: 1000, capability: 1, fileOffset: 300), Part("ccc", offset: 3500)], length: 5120
      )
      .bytes)
    let files = [
      try image("a", size: 1000, readOnly: true), try image("bb", size: 3000, readOnly: readOnly),
      try image("ccc", size: 2000, readOnly: true),
    ]
    return (try CompositeImage(file: try image("disk", size: 100, readOnly: readOnly), specification, files: files), files)
  }

  private func channel(_ disk: CompositeImage) throws -> any DiskChannel {
    let channel = try disk.makeChannel(depth: 1, buffers: nil, ring: nil)
    try channel.start()
    return channel
  }

  // MARK: The description

  @Test("A description is read as it was written") func description() throws {
    let specification = try CompositeSpecification(CompositeFile.sample.bytes)
    #expect(specification.length == 24576)
    #expect(specification.parts.map(\.path) == ["header.img", "parts/data.img", "footer.img"])
    #expect(specification.parts.map(\.offset) == [0, 4096, 20480] && specification.parts.map(\.length) == [4096, 16384, 4096])
    #expect(specification.parts.map(\.fileOffset) == [0, 512, 0] && specification.parts.map(\.isWritable) == [false, true, false])
  }

  @Test("Fields that are not known are passed over, and the last of a field counts") func unknownFields() throws {
    let more = CompositeFile.field(9, 7) + CompositeFile.field(15, [1, 2]) + [0x51, 1, 2, 3, 4, 5, 6, 7, 8] + [0x5d, 1, 2, 3, 4]
    let bytes = CompositeFile.sample.bytes + more + CompositeFile.field(3, 32768)
    #expect(try CompositeSpecification(bytes).length == 32768)
    var file = CompositeFile.sample
    file.parts[1].capability = 2
    #expect(try CompositeSpecification(file.bytes).parts[1].isWritable == false)
  }

  @Test(
    "Names that lead out of the folder are refused",
    arguments: [
      "", "/", "/etc/shadow", "..", "../x", "a/../b", "a/..", "./../x", "a//b", "a/", ".", "a/.", "a\0b",
      String(repeating: "a/", count: 2048) + "a",
    ])
  func names(path: String) {
    #expect(error(of: CompositeFile([Part(path, offset: 0)], length: 512)) == .path(path))
  }

  @Test("Names below the folder are taken", arguments: ["a", "./a", "a/b/c", "...", "..a", "a..b", "é", ".hidden"]) func goodNames(
    path: String
  ) {
    #expect(error(of: CompositeFile([Part(path, offset: 0)], length: 512)) == nil)
  }

  @Test("Parts out of order, at one place, or beyond the end are refused") func order() {
    func file(_ offsets: [UInt64], length: UInt64 = 4096) -> CompositeFile {
      CompositeFile(offsets.map { Part("a", offset: $0) }, length: length)
    }
    #expect(error(of: file([512])) == .order(part: 0, offset: 512))
    #expect(error(of: file([0, 1024, 512])) == .order(part: 2, offset: 512))
    #expect(error(of: file([0, 512, 512])) == .order(part: 2, offset: 512))
    #expect(error(of: file([0, .max])) == .length(4096))
    #expect(error(of: file([0, .max, .max])) == .order(part: 2, offset: .max))
    #expect(error(of: file([0, 4096])) == .length(4096))
    #expect(error(of: file([])) == .partCount(0))
    #expect(error(of: file((0...200).map { UInt64($0) })) == .partCount(201))
    for length in [0, 513, .max, 1 << 63] as [UInt64] { #expect(error(of: file([0], length: length)) == .length(length)) }
  }

  @Test("What is no description is refused") func noDescription() {
    var file = CompositeFile.sample
    file.version = 3
    #expect(error(of: file) == .unknownVersion(3))
    #expect(error(of: []) == .wrongMagic && error(of: Array("composite_disk".utf8)) == .wrongMagic)
    #expect(error(of: CompositeSpecification.magic) == .length(0))
    #expect(
      error(of: CompositeFile.sample.bytes + [UInt8](repeating: 0, count: 1 << 20))
        == .tooLong(bytes: CompositeFile.sample.bytes.count + 1 << 20))
    let magic = CompositeSpecification.magic
    let wrong: [[UInt8]] = [
      [8], [8, 0x80], [8] + [UInt8](repeating: 0xff, count: 10), [8] + [UInt8](repeating: 0x80, count: 9) + [2], [0x12, 5, 1],
      [0x12] + CompositeFile.varint(.max), [9, 1, 2], [0x0d, 1], [0x0b], [0x0c], [0x0e], [0, 0], [7], [0x0a, 0], [0x10, 1], [0x1a, 0],
      CompositeFile.field(2, [0x0a, 1, 0xff]), CompositeFile.field(2, [8, 1]), CompositeFile.field(2, [0x12, 0]),
      CompositeFile.field(2, [0x0a, 9]),
    ]
    for message in wrong {
      guard case .malformed(let words)? = error(of: magic + message) else {
        Issue.record("\(message) was taken")
        continue
      }
      #expect(!words.isEmpty)
    }
  }

  @Test("Wrong bytes and early ends break no promise") func fuzz() {
    let bytes = CompositeFile.sample.bytes
    #expect(fuzzComposite(bytes) != nil)
    for count in bytes.indices { fuzzComposite(Array(bytes.prefix(count))) }
    for index in bytes.indices {
      for byte in 0...255 as ClosedRange<UInt8> {
        var wrong = bytes
        wrong[index] = byte
        fuzzComposite(wrong)
      }
    }
  }

  // MARK: The disk

  @Test("Every range of sectors reads as the parts do", arguments: [false, true]) func reads(readOnly: Bool) throws {
    let (disk, files) = try threeParts(readOnly: readOnly)
    let expected = try bytes(of: files[0]) + (try bytes(of: files[1]))[300..<2800] + (try bytes(of: files[2])).prefix(1620)
    #expect(disk.size == 5120 && disk.isReadOnly == readOnly && disk.discards != readOnly)
    let channel = try channel(disk)
    defer { channel.end() }
    for start in stride(from: 0, to: 5120, by: 512) {
      for end in stride(from: start + 512, through: 5120, by: 512) {
        let buffer = try TestBuffer(end - start)
        let pieces = [0..<(end - start) / 3, (end - start) / 3..<end - start]
        #expect(try channel.run(.read, offset: UInt64(start), count: end - start, buffer: buffer, pieces: pieces) == 0)
        #expect(buffer.bytes == Array(expected[start..<end]), "\(start)..<\(end)")
      }
    }
    #expect(throws: DiskError.self) { try disk.resize(to: 512) }
  }

  @Test("Writes reach the writable part and no other") func writes() throws {
    let (disk, files) = try threeParts()
    let before = try files.map { try bytes(of: $0) }
    let channel = try channel(disk)
    defer { channel.end() }
    let buffer = try TestBuffer(1024)
    buffer.fill(seed: 200)
    #expect(try channel.run(.write, offset: 1536, count: 1024, buffer: buffer, isDurable: true) == 0)
    #expect(try channel.run(.flush) == 0)
    var expected = before[1]
    expected.replaceSubrange(836..<1860, with: buffer.bytes)
    #expect(try bytes(of: files[1]) == expected)
    // Sectors 1 and 6 are in two parts each, one of which may not be written; what lies before it has been.
    for offset in [0, 512, 4608] as [UInt64] {
      #expect(try channel.run(.write, offset: offset, count: 512, buffer: buffer) == EROFS)
    }
    for (offset, count) in [(0, 512), (512, 512), (3072, 512), (1024, 4096)] as [(UInt64, Int)] {
      #expect(try channel.run(.writeZeroes(mayDiscard: false), offset: offset, count: count) == EROFS)
    }
    #expect(try bytes(of: files[1]) == expected)
    #expect(try channel.run(.write, offset: 3072, count: 512, buffer: buffer) == EROFS)
    #expect(try bytes(of: files[0]) == before[0] && (try bytes(of: files[2])) == before[2])
    #expect(try channel.run(.writeZeroes(mayDiscard: true), offset: 1536, count: 512) == 0)
    expected.replaceSubrange(836..<1348, with: [UInt8](repeating: 0, count: 512))
    #expect(try Array(bytes(of: files[1])[836..<1860]) == Array(expected[836..<1860]))
    #expect(try channel.run(.discard, offset: 0, count: 5120) == 0)
    #expect(try bytes(of: files[0]) == before[0] && (try bytes(of: files[2])) == before[2])
  }

  @Test("Files that do not fit their parts are named") func wrongFiles() throws {
    let specification = try CompositeSpecification(
      CompositeFile([Part("a", offset: 0, capability: 1, fileOffset: 512)], length: 1024).bytes)
    let file = try image("disk", size: 100)
    func error(_ files: [any SynchronousDisk]) -> CompositeError? {
      do throws(CompositeError) {
        _ = try CompositeImage(file: file, specification, files: files)
        return nil
      } catch { return error }
    }
    #expect(error([]) == .fileCount(0, parts: 1))
    #expect(error([try image("short", size: 1535)]) == .shortFile(path: "a", size: 1535, needed: 1536))
    #expect(error([try image("fits", size: 1536, readOnly: true)]) == .readOnlyFile(path: "a"))
    #expect(error([try image("good", size: 1536)]) == nil)
    let wraps = try CompositeSpecification(CompositeFile([Part("a", offset: 0, fileOffset: .max)], length: 1024).bytes)
    #expect(throws: CompositeError.shortFile(path: "a", size: 1536, needed: .max)) {
      try CompositeImage(file: file, wraps, files: [try open(try image("w", size: 1536).path, readOnly: true)])
    }
  }

  @Test("A part may be an image of another format") func formats() throws {
    let path = try scratch.file("sparse", size: 0)
    let stream = unsafe fopen(path, "w")
    let sparse = AndroidSparseFile.sample.bytes
    unsafe fwrite(sparse, 1, sparse.count, stream)
    unsafe fclose(stream)
    let contents = AndroidSparseFile.sample.contents
    let specification = try CompositeSpecification(
      CompositeFile([Part("a", offset: 0, capability: 1), Part("sparse", offset: 1000, fileOffset: 24)], length: 4096).bytes)
    let first = try image("a", size: 1000)
    let disk = try CompositeImage(
      file: try image("disk", size: 100), specification, files: [first, try AndroidSparseImage(file: try open(path, readOnly: true))])
    let channel = try channel(disk)
    defer { channel.end() }
    let buffer = try TestBuffer(4096)
    #expect(try channel.run(.read, count: 4096, buffer: buffer) == 0)
    #expect(try buffer.bytes == bytes(of: first) + Array(contents[24..<24 + 3096]))
  }
}
