import BlockDevice
import DiskImage
import Testing

struct BlockConfigurationTests {
  @Test func defaultsAreAWritableLockedSparseDisk() throws(BlockConfigurationError) {
    let disk = BlockConfiguration(path: "a")
    try disk.validate()
    #expect(!disk.isReadOnly && !disk.isRoot && !disk.isDirect && disk.isLocked && disk.isSparse && !disk.usesPackedQueue)
    #expect(disk.blockSize == 512 && disk.id == nil && disk.queueCount == 1 && disk.queueSize == 256)
  }

  @Test(arguments: [0, 1, 511, 513, 1024, 8192, -512, Int.max, Int.min])
  func otherBlockSizesAreRefused(size: Int) {
    var disk = BlockConfiguration(path: "a")
    disk.blockSize = size
    #expect(throws: BlockConfigurationError.blockSize(size)) { try disk.validate() }
  }

  @Test(arguments: [0, 17, -1, Int.max, Int.min])
  func otherQueueCountsAreRefused(count: Int) {
    var disk = BlockConfiguration(path: "a")
    disk.queueCount = count
    #expect(throws: BlockConfigurationError.queueCount(count)) { try disk.validate() }
  }

  @Test(arguments: [0, 1 << 20 - 1, 4 << 30 + 1, .max] as [UInt64])
  func otherCacheSizesAreRefused(size: UInt64) {
    var disk = BlockConfiguration(path: "a")
    #expect(disk.cacheSize == 7 << 20)
    disk.cacheSize = size
    #expect(throws: BlockConfigurationError.cacheSize(size)) { try disk.validate() }
    for possible in [1 << 20, 4 << 30] as [UInt64] {
      disk.cacheSize = possible
      #expect(throws: Never.self) { try disk.validate() }
      #expect(disk.imageOptions.cacheSize == possible)
    }
  }

  @Test func queueSizesArePowersOfTwo() {
    let accepted = (-5...2100).filter { size in
      var disk = BlockConfiguration(path: "a")
      disk.queueSize = size
      return (try? disk.validate()) != nil
    }
    #expect(accepted == [4, 8, 16, 32, 64, 128, 256, 512, 1024])
    for size in [Int.max, Int.min] {
      var disk = BlockConfiguration(path: "a")
      disk.queueSize = size
      #expect(throws: BlockConfigurationError.queueSize(size)) { try disk.validate() }
    }
  }

  @Test func serialNumbersFitTheirField() {
    var disk = BlockConfiguration(path: "a")
    disk.id = "12345678901234567890"
    #expect(throws: Never.self) { try disk.validate() }
    disk.id = "123456789012345678901"
    #expect(throws: BlockConfigurationError.longID("123456789012345678901")) { try disk.validate() }
    for id in ["", "é", "a\n", "\u{7f}"] {
      disk.id = id
      #expect(throws: BlockConfigurationError.unprintableID(id)) { try disk.validate() }
    }
  }

  @Test func anEmptyPathIsRefused() {
    #expect(throws: BlockConfigurationError.emptyPath) { try BlockConfiguration(path: "").validate() }
  }
}
