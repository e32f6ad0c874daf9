import CLinux
import DiskImage
import Glibc
import Platform
import Synchronization
import Testing

/// A qcow2 image as a device uses it: several requests under way, of several pieces, from several threads.
@Suite struct Qcow2ChannelTests {
  private func image(_ folder: Folder, clusterBits: Int = 12, size: UInt64 = 8 << 20, direct: Bool = false) throws -> Qcow2Image {
    var format = Qcow2Image.Format()
    format.clusterBits = clusterBits
    try Qcow2Image.create(path: folder["image"], size: size, format: format)
    var options = ImageFiles.Options()
    options.isDirect = direct
    options.isLocked = false
    return try #require(try ImageFiles.open(path: folder["image"], options: options).assemble() as? Qcow2Image)
  }

  private func channel(_ image: Qcow2Image, depth: Int = 8) throws -> any DiskChannel {
    let channel = try image.makeChannel(depth: depth, buffers: nil, ring: try? IOUring(depth: depth))
    try channel.start()
    return channel
  }

  @Test(arguments: [false, true]) func aRequestOfManyPiecesIsReadAndWrittenWhole(direct: Bool) throws {
    let folder = try Folder()
    let image = try image(folder, direct: direct)
    let channel = try channel(image)
    let buffer = try TestBuffer(1 << 20)
    // From the end to the start, so that no two clusters are adjacent in the file.
    for cluster in (0..<64).reversed() {
      unsafe memset(buffer.memory.base, Int32(cluster + 1), 4096)
      #expect(try channel.run(.write, offset: UInt64(cluster * 4096), count: 4096, buffer: buffer) == 0)
    }
    let expected = (0..<64).flatMap { [UInt8](repeating: UInt8($0 + 1), count: 4096) }
    for count in [4096 * 3, 4096 * 15, 4096 * 64] {
      buffer.clear()
      #expect(try channel.run(.read, offset: 0, count: count, buffer: buffer, pieces: [0..<512, 512..<5120, 5120..<count]) == 0)
      #expect(buffer.bytes[..<count].elementsEqual(expected[..<count]))
    }
    buffer.fill(seed: 3)
    let written = buffer.bytes
    #expect(try channel.run(.write, offset: 2048, count: 4096 * 9, buffer: buffer, pieces: [0..<1024, 1024..<4096 * 9]) == 0)
    #expect(try channel.run(.flush) == 0)
    buffer.clear()
    #expect(try channel.run(.read, offset: 2048, count: 4096 * 9, buffer: buffer) == 0)
    #expect(buffer.bytes[..<(4096 * 9)].elementsEqual(written[..<(4096 * 9)]))
    channel.end()
    image.finish()
    if QemuImg.isInstalled { #expect(try QemuImg.check(folder["image"]) == nil) }
  }

  @Test func zeroesDiscardsAndDurableWritesEnd() throws {
    let folder = try Folder()
    let image = try image(folder)
    let channel = try channel(image)
    let buffer = try TestBuffer(256 << 10)
    buffer.fill(seed: 9)
    #expect(try channel.run(.write, offset: 0, count: 256 << 10, buffer: buffer, isDurable: true) == 0)
    var expected = buffer.bytes
    #expect(try channel.run(.write, offset: 4096, count: 8192, buffer: buffer, isDurable: true) == 0)
    expected.replaceSubrange(4096..<12288, with: buffer.bytes[..<8192])
    #expect(try channel.run(.writeZeroes(mayDiscard: true), offset: 20480, count: 10240, isDurable: true) == 0)
    #expect(try channel.run(.writeZeroes(mayDiscard: false), offset: 40960, count: 9728) == 0)
    #expect(try channel.run(.discard, offset: 65536, count: 16384) == 0)
    for range in [20480..<30720, 40960..<50688, 65536..<81920] {
      expected.replaceSubrange(range, with: repeatElement(0, count: range.count))
    }
    #expect(try channel.run(.flush) == 0)
    #expect(try channel.run(.read, offset: 0, count: 256 << 10, buffer: buffer) == 0)
    #expect(buffer.bytes == expected)
    #expect(try channel.run(.read, offset: 8 << 20, count: 512, buffer: buffer) == EINVAL)
    channel.end()
  }

  @Test func allSlotsAreUsedAtOnce() throws {
    let folder = try Folder()
    let image = try image(folder, clusterBits: 9)
    let channel = try channel(image, depth: 64)
    let buffer = try TestBuffer(64 * 8192)
    buffer.fill(seed: 5)
    let written = buffer.bytes
    for operation in [DiskOperation.write, .write, .read] {
      for slot in 0..<64 {
        channel.add(buffer, [slot * 8192..<(slot + 1) * 8192], slot: slot)
        channel.begin(operation, slot: slot, offset: UInt64(63 - slot) * 8192, count: 8192, isDurable: false)
      }
      var ended = Set<Int>()
      while ended.count < 64 {
        let (slot, code) = try channel.waitForEnd()
        #expect(code == 0)
        #expect(ended.insert(slot).inserted)
      }
    }
    #expect(buffer.bytes == written)
    channel.end()
  }

  @Test func endingWithRequestsUnderWayWaitsForThem() throws {
    let folder = try Folder()
    let image = try image(folder, clusterBits: 16)
    let channel = try channel(image)
    let buffer = try TestBuffer(1 << 20)
    #expect(try channel.run(.write, offset: 0, count: 1 << 20, buffer: buffer) == 0)
    for slot in 0..<8 {
      channel.add(buffer, [slot << 16..<(slot + 1) << 16], slot: slot)
      channel.begin(.read, slot: slot, offset: UInt64(slot) << 16, count: 1 << 16, isDurable: false)
    }
    channel.end()
    image.finish()
    // All of them are counted out: what is freed now is used again.
    #expect(image.discard(offset: 0, count: 1 << 20) == 0)
    image.finish()
    #expect(try Qcow2Image.check(path: folder["image"], repair: .nothing).isClean)
  }

  @Test func threadsShareAnImage() throws {
    let folder = try Folder()
    let image = try image(folder, clusterBits: 12, size: 16 << 20)
    let failures = Atomic<Int>(0)
    let threads = try (0..<4).map { number in
      try PThread(name: "user\(number)") {
        do {
          let channel = try image.makeChannel(depth: 4, buffers: nil, ring: try? IOUring(depth: 4))
          try channel.start()
          let buffer = try TestBuffer(64 << 10)
          var dice = Dice(UInt64(number + 1))
          // Sectors of its own among those of the others: clusters are shared, sectors are not.
          for round in 0..<300 {
            let sector = dice.below(4096) * 4 + number
            unsafe memset(buffer.memory.base, Int32(round & 0xff), 512)
            guard try channel.run(.write, offset: UInt64(sector * 512), count: 512, buffer: buffer) == 0 else { throw DiskFailure(EIO) }
            unsafe memset(buffer.memory.base, 0xff, 512)
            guard try channel.run(.read, offset: UInt64(sector * 512), count: 512, buffer: buffer) == 0,
              unsafe buffer.memory.base.load(as: UInt8.self) == UInt8(round & 0xff)
            else { throw DiskFailure(EIO) }
            if round % 50 == 49 { _ = try channel.run(.flush) }
            // Nobody reads what is discarded: the second half of the disk.
            if round % 40 == 39 { _ = try channel.run(.discard, offset: UInt64(dice.below(2000)) * 4096 + (8 << 20), count: 4096) }
          }
          channel.end()
        } catch { failures.add(1, ordering: .relaxed) }
      }
    }
    for thread in threads { thread.join() }
    #expect(failures.load(ordering: .relaxed) == 0)
    #expect(image.damage == nil)
    image.finish()
    #expect(try Qcow2Image.check(path: folder["image"], repair: .nothing).isClean)
  }

  @Test func whatWasNeverWrittenIsZero() throws {
    let folder = try Folder()
    let image = try image(folder, clusterBits: 16)
    let channel = try channel(image)
    let buffer = try TestBuffer(128 << 10)
    buffer.fill(seed: 1)
    #expect(try channel.run(.read, offset: 0, count: 128 << 10, buffer: buffer) == 0)
    #expect(buffer.bytes.allSatisfy { $0 == 0 })
    channel.end()
  }

  @Test func tablesOfALargeImageTakeLittleMemory() throws {
    let folder = try Folder()
    let image = try image(folder, clusterBits: 16, size: 1 << 40)
    #expect(image.tableMemory <= 8 << 20)
  }
}
