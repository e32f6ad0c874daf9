import CLinux
import DiskImage
import Glibc
import Platform
import Testing

@Suite struct ChannelTests {
  @Test("What is written is read back, whole and in pieces", arguments: Way.allCases)
  func roundTrip(_ way: Way) throws {
    let scratch = try Scratch(parent: way.parent)
    let channel = try way.channel(try scratch.file(size: 1 << 20))
    let buffer = try TestBuffer(65536)
    buffer.fill(seed: 7)
    let written = buffer.bytes
    #expect(try channel.run(.write, offset: 4096, count: 65536, buffer: buffer, pieces: [0..<512, 512..<8192, 8192..<65536]) == 0)
    #expect(try channel.run(.flush) == 0)
    buffer.clear()
    #expect(try channel.run(.read, offset: 4096, count: 65536, buffer: buffer, pieces: [0..<4096, 4096..<4608, 4608..<65536]) == 0)
    #expect(buffer.bytes == written)
    channel.end()
  }

  @Test("Buffers at odd addresses and of odd lengths work even past the page cache", arguments: Way.allCases)
  func oddBuffers(_ way: Way) throws {
    let scratch = try Scratch(parent: way.parent)
    let channel = try way.channel(try scratch.file(size: 4 << 20))
    let buffer = try TestBuffer(3 << 20)
    buffer.fill(seed: 1)
    let written = buffer.bytes
    let pieces = [1..<1000, 1000..<1001, 1001..<(2 << 20) + 1]
    #expect(try channel.run(.write, offset: 8192, count: 2 << 20, buffer: buffer, pieces: pieces) == 0)
    buffer.clear()
    #expect(try channel.run(.read, offset: 8192, count: 2 << 20, buffer: buffer, pieces: pieces) == 0)
    #expect(buffer.bytes[1..<(2 << 20) + 1].elementsEqual(written[1..<(2 << 20) + 1]))
    channel.end()
  }

  @Test("Operations in all slots end once each", arguments: Way.allCases)
  func manyAtOnce(_ way: Way) throws {
    let scratch = try Scratch(parent: way.parent)
    let channel = try way.channel(try scratch.file(size: 1 << 20), depth: 128)
    let buffer = try TestBuffer(128 * 4096)
    buffer.fill(seed: 3)
    let written = buffer.bytes
    for operation in [DiskOperation.write, .read] {
      for slot in 0..<128 {
        channel.add(buffer, [slot * 4096..<(slot + 1) * 4096], slot: slot)
        channel.begin(operation, slot: slot, offset: UInt64(slot) * 8192, count: 4096, isDurable: false)
      }
      var ended = Set<Int>()
      while ended.count < 128 {
        let (slot, code) = try channel.waitForEnd()
        #expect(code == 0)
        #expect(ended.insert(slot).inserted)
      }
      if operation == .write { buffer.clear() }
    }
    #expect(buffer.bytes == written)
    channel.end()
  }

  @Test("Zeroes are written, discarded ranges read as zeroes and free their space", arguments: Way.allCases, [true, false])
  func zeroes(_ way: Way, durable: Bool) throws {
    let scratch = try Scratch(parent: way.parent)
    let path = try scratch.file(size: 1 << 20)
    let channel = try way.channel(path)
    let buffer = try TestBuffer(1 << 20)
    buffer.fill(seed: 9)
    #expect(try channel.run(.write, count: 1 << 20, buffer: buffer, isDurable: durable) == 0)
    let written = buffer.bytes
    #expect(try channel.run(.writeZeroes(mayDiscard: false), offset: 4096, count: 200 * 1024, isDurable: durable) == 0)
    #expect(try channel.run(.writeZeroes(mayDiscard: true), offset: 512 * 1024, count: 4096, isDurable: durable) == 0)
    #expect(try channel.run(.discard, offset: 768 * 1024, count: 128 * 1024, isDurable: durable) == 0)
    #expect(try channel.run(.read, count: 1 << 20, buffer: buffer) == 0)
    var expected = written
    for range in [4096..<4096 + 200 * 1024, 512 * 1024..<512 * 1024 + 4096, 768 * 1024..<896 * 1024] {
      expected.replaceSubrange(range, with: repeatElement(0, count: range.count))
    }
    #expect(buffer.bytes == expected)
    #expect(try channel.run(.flush) == 0)
    var status = stat()
    unsafe #expect(stat(path, &status) == 0)
    #expect(status.st_blocks * 512 <= (1 << 20) - 128 * 1024)
    channel.end()
  }

  @Test("Ranges off the disk, of nothing, or unlike the buffers are refused", arguments: Way.allCases)
  func badRanges(_ way: Way) throws {
    let scratch = try Scratch(parent: way.parent)
    let channel = try way.channel(try scratch.file(size: 8192))
    let buffer = try TestBuffer(8192)
    for operation in [DiskOperation.read, .write, .discard, .writeZeroes(mayDiscard: true)] {
      for (offset, count) in [(8192, 512), (UInt64.max - 511, 512), (UInt64.max, 512), (0, 0), (4096, 8192)] as [(UInt64, Int)] {
        #expect(try channel.run(operation, offset: offset, count: count, buffer: buffer) == EINVAL)
      }
    }
    #expect(try channel.run(.read, offset: 0, count: 4096, buffer: buffer, pieces: [0..<512]) == EINVAL)
    #expect(try channel.run(.read, offset: 0, count: 512, buffer: buffer, pieces: [0..<1024]) == EINVAL)
    #expect(try channel.run(.read, offset: 1, count: 512, buffer: buffer) == EINVAL)
    channel.end()
  }

  @Test("A read-only image refuses what changes it", arguments: Way.allCases)
  func readOnly(_ way: Way) throws {
    let scratch = try Scratch(parent: way.parent)
    let channel = try way.channel(try scratch.file(size: 8192), readOnly: true)
    let buffer = try TestBuffer(8192)
    #expect(try channel.run(.write, count: 4096, buffer: buffer) == EROFS)
    #expect(try channel.run(.discard, count: 4096) == EROFS)
    #expect(try channel.run(.writeZeroes(mayDiscard: false), count: 4096) == EROFS)
    #expect(try channel.run(.read, count: 4096, buffer: buffer) == 0)
    #expect(try channel.run(.flush) == 0)
    channel.end()
  }

  @Test("A file cut short behind our back is an I/O error, not an endless loop", arguments: Way.allCases)
  func truncated(_ way: Way) throws {
    let scratch = try Scratch(parent: way.parent)
    let path = try scratch.file(size: 65536)
    let channel = try way.channel(path)
    unsafe #expect(truncate(path, 8192) == 0)
    let buffer = try TestBuffer(65536)
    #expect(try channel.run(.read, count: 65536, buffer: buffer) == EIO)
    #expect(try channel.run(.read, offset: 32768, count: 4096, buffer: buffer) == EIO)
    #expect(try channel.run(.read, offset: 4096, count: 4096, buffer: buffer) == 0)
    channel.end()
  }

  @Test("Each signal of a watched event wakes, drained or not", arguments: Way.allCases)
  func watching(_ way: Way) throws {
    let scratch = try Scratch(parent: way.parent)
    var options = RawImage.Options()
    options.isDirect = way == .direct
    let image = try RawImage(path: try scratch.file(size: 8192), options: options)
    let channel: any DiskChannel =
      way == .inline
      ? try InlineChannel(disk: image, depth: 4, buffers: nil) : try image.makeChannel(depth: 4, buffers: nil, ring: try? IOUring(depth: 4))
    let events = [try EventFD(), try EventFD()]
    for event in events { try channel.watch(event.number) }
    try channel.start()
    for round in 0..<1000 {
      events[round % 2].signal()
      var woken: Int?
      while woken == nil {
        while let event = channel.next() { if case .woken(let index) = event { woken = index } }
        if woken == nil { try channel.wait(mayBlock: true) }
      }
      #expect(woken == round % 2)
    }
    channel.end()
  }

  @Test("Ending with operations in flight waits for them; the buffers may go afterwards", arguments: Way.allCases)
  func endWithRequestsInFlight(_ way: Way) throws {
    let scratch = try Scratch(parent: way.parent)
    let path = try scratch.file(size: 16 << 20)
    for _ in 0..<50 {
      let channel = try way.channel(path, depth: 16)
      let buffer = try TestBuffer(16 << 20)
      for slot in 0..<16 {
        channel.add(buffer, [slot << 20..<(slot + 1) << 20], slot: slot)
        channel.begin(slot % 2 == 0 ? .read : .write, slot: slot, offset: UInt64(slot) << 20, count: 1 << 20, isDurable: false)
      }
      try channel.wait(mayBlock: false)
      channel.end()
    }
  }

  @Test("A full file system is reported as such, and the disk goes on", .enabled(if: geteuid() == 0))
  func fullFileSystem() throws {
    let scratch = try Scratch()
    let directory = "\(scratch.path)/mount"
    unsafe #expect(mkdir(directory, 0o700) == 0)
    defer { unsafe rmdir(directory) }
    // May be forbidden even to root, in a container.
    guard unsafe mount("tmpfs", directory, "tmpfs", 0, "size=64k") == 0 else { return }
    defer { unsafe umount2(directory, 2) }
    let file = try OwnedDescriptor.open("\(directory)/disk", flags: O_RDWR | O_CREAT, mode: 0o600)
    #expect(ftruncate(file.number, 1 << 20) == 0)
    let image = try RawImage(path: "\(directory)/disk")
    let buffer = try TestBuffer(1 << 20)
    for channel in [
      try image.makeChannel(depth: 2, buffers: nil, ring: try? IOUring(depth: 2)), try InlineChannel(disk: image, depth: 2, buffers: nil),
    ] {
      try channel.start()
      #expect(try channel.run(.write, count: 1 << 20, buffer: buffer) == ENOSPC)
      #expect(try channel.run(.writeZeroes(mayDiscard: false), count: 1 << 20) == ENOSPC)
      #expect(try channel.run(.discard, count: 1 << 20) == 0)
      #expect(try channel.run(.write, count: 4096, buffer: buffer) == 0)
      channel.end()
    }
  }
}
