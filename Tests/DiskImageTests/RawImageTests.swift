import DiskImage
import Glibc
import Platform
import Testing

@Suite struct RawImageTests {
  private func options(readOnly: Bool = false, direct: Bool = false, locked: Bool = true) -> RawImage.Options {
    var options = RawImage.Options()
    options.isReadOnly = readOnly
    options.isDirect = direct
    options.isLocked = locked
    return options
  }

  @Test("An image knows its size") func size() throws {
    let scratch = try Scratch()
    let image = try RawImage(path: try scratch.file(size: 3 * 512))
    #expect(image.size == 1536)
    #expect(image.alignment == 512)
    #expect(image.discards)
  }

  @Test("A write that was under way when the disk became smaller does not make the file longer") func smallerForGood() throws {
    let scratch = try Scratch()
    let path = try scratch.file(size: 8192)
    let image = try RawImage(path: path)
    try image.resize(to: 1024)
    // As the kernel does what was begun before.
    #expect(unsafe pwrite(image.number, "late", 4, 4096) == 4)
    #expect(image.size == 1024)
    image.finish()
    var status = stat()
    unsafe #expect(stat(path, &status) == 0 && status.st_size == 1024)
  }

  @Test("A missing file is named") func missing() {
    #expect(throws: DiskError.missing("/nonexistent/disk")) { try RawImage(path: "/nonexistent/disk") }
    #expect(DiskError.missing("/x").description == "the disk image \"/x\" does not exist; check the path")
  }

  @Test("A directory is no disk, to read or to write", arguments: [true, false])
  func directory(readOnly: Bool) {
    #expect(throws: DiskError.directory("/tmp")) { try RawImage(path: "/tmp", options: options(readOnly: readOnly)) }
  }

  @Test("Pipes, character devices and sockets are no disks, and opening them does not hang", arguments: [true, false])
  func notADisk(readOnly: Bool) throws {
    #expect(throws: DiskError.notADisk("/dev/null")) { try RawImage(path: "/dev/null", options: options(readOnly: readOnly)) }
    let scratch = try Scratch()
    let path = "\(scratch.path)/pipe"
    unsafe #expect(mkfifo(path, 0o600) == 0)
    defer { unsafe unlink(path) }
    #expect(throws: DiskError.notADisk(path)) { try RawImage(path: path, options: options(readOnly: readOnly)) }
  }

  @Test("Sizes that are no whole number of sectors, and nothing, are refused") func raggedAndEmpty() throws {
    let scratch = try Scratch()
    let ragged = try scratch.file("ragged", size: 1000)
    #expect(throws: DiskError.ragged(ragged, size: 1000, blockSize: 512)) { try RawImage(path: ragged) }
    let empty = try scratch.file("empty", size: 0)
    #expect(throws: DiskError.empty(empty)) { try RawImage(path: empty) }
    var options = options()
    options.allowsAnySize = true
    #expect(try RawImage(path: ragged, options: options).size == 1000)
    #expect(throws: DiskError.empty(empty)) { try RawImage(path: empty, options: options) }
    #expect("\(DiskError.ragged("/x", size: 1000, blockSize: 512))".hasSuffix("not a multiple of 512; extend it to 1024 bytes"))
  }

  @Test("A writer excludes everybody, readers share") func locks() throws {
    let scratch = try Scratch()
    let path = try scratch.file(size: 4096)
    var writer: RawImage? = try RawImage(path: path)
    #expect(throws: DiskError.inUse(path, writing: true)) { try RawImage(path: path) }
    #expect(throws: DiskError.inUse(path, writing: false)) { try RawImage(path: path, options: options(readOnly: true)) }
    _ = try RawImage(path: path, options: options(locked: false))
    #expect(writer?.size == 4096)
    writer = nil
    let readers = [
      try imageWhenFree(path: path, options: options(readOnly: true)), try RawImage(path: path, options: options(readOnly: true)),
    ]
    #expect(throws: DiskError.inUse(path, writing: true)) { try RawImage(path: path) }
    #expect(readers.count == 2)
  }

  @Test("A path below /proc/self/fd means that descriptor, with its rights") func inheritedDescriptor() throws {
    let scratch = try Scratch()
    let path = try scratch.file(size: 4096)
    let readable = try OwnedDescriptor.open(path, flags: O_RDONLY)
    let name = "/proc/self/fd/\(readable.number)"
    #expect(try RawImage(path: name, options: options(readOnly: true)).size == 4096)
    #expect(throws: DiskError.badDescriptor(name, writing: true)) { try RawImage(path: name) }
    #expect(throws: DiskError.badDescriptor("/proc/self/fd/9999", writing: true)) { try RawImage(path: "/proc/self/fd/9999") }
    // Another file: the lock belongs to the open file behind the descriptor, and stays as long as that.
    let writable = try OwnedDescriptor.open(try scratch.file("other", size: 8192), flags: O_RDWR)
    #expect(try RawImage(path: "/proc/self/fd/\(writable.number)").size == 8192)
  }

  @Test("Direct images say what they need, or that they cannot be") func direct() throws {
    let scratch = try Scratch()
    let image = try RawImage(path: try scratch.file(size: 1 << 20), options: options(direct: true))
    #expect(image.alignment >= 512 && image.alignment <= 4096)
    let ragged = try scratch.file("small", size: 512)
    if image.alignment == 4096 {
      #expect(throws: DiskError.ragged(ragged, size: 512, blockSize: 4096)) { try RawImage(path: ragged, options: options(direct: true)) }
    }
  }
}
