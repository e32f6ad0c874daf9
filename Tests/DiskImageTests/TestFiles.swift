import CLinux
import DiskImage
import Glibc
import Platform
import Testing

/// A directory that goes with its files when the test ends.
final class Scratch {
  let path: String

  /// - Parameter parent: Where; `/tmp` is on a disk on most machines, `/dev/shm` in memory.
  init(parent: String = "/tmp") throws {
    var template = Array("\(parent)/disk-image-XXXXXX\0".utf8.map { CChar(bitPattern: $0) })
    guard unsafe mkdtemp(&template) != nil else { throw SystemError.last("make a directory in \(parent)") }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit {
    for name in names { unsafe unlink("\(path)/\(name)") }
    unsafe rmdir(path)
  }

  private var names: [String] = []

  /// Makes a file of `size` zero bytes, all of it a hole.
  func file(_ name: String = "disk", size: Int) throws -> String {
    names.append(name)
    let file = try OwnedDescriptor.open("\(path)/\(name)", flags: O_RDWR | O_CREAT, mode: 0o600)
    guard ftruncate(file.number, size) == 0 else { throw SystemError.last("extend \(name)") }
    return "\(path)/\(name)"
  }
}

/// Memory that operations work on; page-aligned.
final class TestBuffer: Sendable {
  let memory: MemoryMapping

  init(_ count: Int) throws { memory = try .anonymous(count: count) }

  func fill(seed: UInt8) {
    for index in 0..<memory.count {
      unsafe memory.base.storeBytes(of: UInt8(truncatingIfNeeded: index &* 31 &+ index >> 8) &+ seed, toByteOffset: index, as: UInt8.self)
    }
  }

  func clear() { unsafe memset(memory.base, 0, memory.count) }

  var bytes: [UInt8] { unsafe [UInt8](UnsafeRawBufferPointer(start: memory.base, count: memory.count)) }
}

extension DiskChannel {
  /// Gives a slot `pieces` of a buffer, in order.
  func add(_ buffer: TestBuffer, _ pieces: [Range<Int>], slot: Int) {
    clear(slot: slot)
    for piece in pieces { _ = unsafe addBuffer(buffer.memory.base + piece.lowerBound, count: piece.count, slot: slot) }
  }

  /// Does one operation and waits for its end.
  func run(
    _ operation: DiskOperation, slot: Int = 0, offset: UInt64 = 0, count: Int = 0, buffer: TestBuffer? = nil, pieces: [Range<Int>]? = nil,
    isDurable: Bool = false
  ) throws -> Int32 {
    if let buffer { add(buffer, pieces ?? [0..<count], slot: slot) }
    begin(operation, slot: slot, offset: offset, count: UInt64(count), isDurable: isDurable)
    return try waitForEnd().code
  }

  func waitForEnd() throws -> (slot: Int, code: Int32) {
    while true {
      while let event = next() { if case .ended(let slot, let code) = event { return (slot, code) } }
      try wait(mayBlock: true)
    }
  }
}

/// Opens an image that was in use until now.
///
/// A program that another test starts has a copy of every descriptor until it becomes that program, and the copy holds the lock.
func imageWhenFree(path: String, options: RawImage.Options) throws -> RawImage {
  for _ in 0..<10_000 {
    do { return try RawImage(path: path, options: options) } catch DiskError.inUse { usleep(1000) }
  }
  return try RawImage(path: path, options: options)
}

/// The ways to an image: through io_uring on a disk and in memory, past the page cache, and by plain system calls, the page cache used or not.
enum Way: CaseIterable, CustomTestStringConvertible {
  case ring, ringInMemory, direct, inline, directInline

  var testDescription: String { "\(self)" }
  var parent: String { self == .ringInMemory ? "/dev/shm" : "/tmp" }

  func channel(_ path: String, depth: Int = 4, readOnly: Bool = false) throws -> any DiskChannel {
    var options = RawImage.Options()
    options.isDirect = self == .direct || self == .directInline
    options.isReadOnly = readOnly
    // A lock may outlive its image for a moment: see `imageWhenFree`.
    options.isLocked = false
    let image = try RawImage(path: path, options: options)
    let channel: any DiskChannel =
      self == .inline || self == .directInline
      ? try InlineChannel(disk: image, depth: depth, buffers: nil)
      : try image.makeChannel(depth: depth, buffers: nil, ring: try? IOUring(depth: depth))
    try channel.start()
    return channel
  }
}
