import BlockDevice
import BlockTesting
import DiskImage
import Testing
import Virtio

@Suite struct BlockDeviceTests {
  @Test("The configuration space says what the disk is, in accesses of every kind") func configurationSpace() throws {
    let file = try ImageFile(size: 1 << 20)
    let device = try file.device {
      $0.blockSize = 4096
      $0.queueCount = 3
      $0.queueSize = 128
    }
    #expect(device.type == .block)
    #expect(device.queueSizes == [128, 128, 128])
    #expect(device.readConfiguration(offset: 0, width: 8) == 2048)
    #expect(device.readConfiguration(offset: 1, width: 1) == 8)
    #expect(device.readConfiguration(offset: 12, width: 4) == 126)
    #expect(device.readConfiguration(offset: 20, width: 4) == 4096)
    #expect(device.readConfiguration(offset: 24, width: 1) == 0)
    #expect(device.readConfiguration(offset: 32, width: 1) == 1)
    #expect(device.readConfiguration(offset: 34, width: 2) == 3)
    #expect(device.readConfiguration(offset: 36, width: 4) == 0xffff_ffff)
    #expect(device.readConfiguration(offset: 40, width: 4) == 32)
    #expect(device.readConfiguration(offset: 56, width: 1) == 1)
    for (offset, width) in [(60, 4), (59, 8), (1000, 4), (UInt64.max, 8), (UInt64.max - 3, 8)] as [(UInt64, Int)] {
      #expect(device.readConfiguration(offset: offset, width: width) == 0)
    }
  }

  @Test("Only the write cache can be written") func configurationWrites() throws {
    let file = try ImageFile(size: 1 << 20)
    let device = try file.device()
    let before = (0..<64).map { device.readConfiguration(offset: $0, width: 1) }
    for offset in (0..<64 as Range<UInt64>).filter({ $0 != 32 }) + [.max] {
      for width in [1, 2, 4, 8] { device.writeConfiguration(offset: offset, width: width, value: .max) }
    }
    #expect((0..<64).map { device.readConfiguration(offset: $0, width: 1) } == before)
  }

  @Test("Images that cannot be this disk are refused with a remedy") func refusedImages() throws {
    let file = try ImageFile(size: 512 * 9)
    #expect(throws: DiskError.ragged(file.path, size: 4608, blockSize: 4096)) {
      try file.device {
        $0.blockSize = 4096
        $0.isLocked = false
      }
    }
    #expect(throws: BlockConfigurationError.self) { try file.device { $0.blockSize = 1024 } }
    let device = try file.device()
    #expect(throws: DiskError.inUse(file.path, writing: true)) { try file.device() }
    #expect(device.features & BlockFeatures.discard != 0)
  }

  @Test("Discard is offered only where it reaches the file") func sparse() throws {
    let file = try ImageFile(size: 8192)
    let device = try file.device { $0.isSparse = false }
    #expect(device.features & BlockFeatures.discard == 0)
    #expect(device.features & BlockFeatures.writeZeroes != 0)
    #expect(device.readConfiguration(offset: 56, width: 1) == 0)
  }

  @Test("Random bytes are requests that keep the parser's promises, or none") func randomRequests() {
    // On the largest of disks, the last sector that has an offset in bytes: its end has none. (All runs use the same memory, one after the other.)
    let choices: [UInt8] = [5, 0x7f, 0xff, 0, 2, 255, 0, 0]
    let request: [UInt8] = [13] + [UInt8](repeating: 0, count: 15) + [255, 255, 255, 255, 255, 255, 127, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    #expect(fuzzBlockRequest(choices + request) == .answered(.ioError))

    var generator = SystemRandomNumberGenerator()
    for _ in 0..<4000 {
      var bytes = (0..<Int.random(in: 0...100, using: &generator)).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
      // Mostly types that exist, and sectors that are near.
      if bytes.count > 12, bytes[7] & 3 != 0 { bytes.replaceSubrange(8..<12, with: [bytes[8] % 15, 0, 0, 0]) }
      if bytes.count > 24, bytes[7] & 4 != 0 { bytes.replaceSubrange(17..<24, with: [0, 0, 0, 0, 0, 0, 0]) }
      fuzzBlockRequest(bytes)
    }
  }
}
