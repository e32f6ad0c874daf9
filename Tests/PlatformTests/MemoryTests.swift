import Glibc
import Platform
import Testing

@Suite struct MemoryTests {
  @Test func aMemoryFileKeepsItsSize() throws {
    let file = try MemoryFile(name: "test", size: 8192)
    #expect(ftruncate(file.number, 4096) == -1)
    #expect(errno == EPERM)
    #expect(ftruncate(file.number, 16384) == -1)
    #expect(lseek(file.number, 0, SEEK_END) == 8192)
  }

  @Test func mappingsOfOnePartShareTheirBytes() throws {
    let file = try MemoryFile(name: "test", size: 12288)
    let (whole, part) = (try file.map(offset: 0, count: 12288), try file.map(offset: 4096, count: 4096))
    withExtendedLifetime((whole, part)) {
      unsafe whole.base.storeBytes(of: 0x1234_5678, toByteOffset: 4096 + 8, as: UInt32.self)
      #expect(unsafe part.base.load(fromByteOffset: 8, as: UInt32.self) == 0x1234_5678)
    }
  }

  @Test(arguments: [
    (0, 0), (0, -1), (0, 8193), (0, Int.max), (-4096, 4096), (4096, 4097), (8192, 1), (12288, 4096), (Int.max, 1), (Int.min, Int.max),
  ])
  func aPartThatIsNotInsideTheFileCannotBeMapped(offset: Int, count: Int) throws {
    let file = try MemoryFile(name: "test", size: 8192)
    let error = #expect(throws: SystemError.self) { _ = try file.map(offset: offset, count: count) }
    #expect(error?.code == EINVAL)
  }

  @Test(arguments: [-1, Int.min]) func aSizeThatNoFileHasIsRefused(size: Int) {
    #expect(throws: SystemError.self) { _ = try MemoryFile(name: "test", size: size) }
  }

  @Test(arguments: [0, -1, Int.min, Int.max]) func memoryThatCannotBeMappedIsRefused(count: Int) {
    #expect(throws: SystemError.self) { _ = try MemoryMapping.anonymous(count: count) }
  }

  @Test func aPrivateMappingLeavesTheFileAsItIs() throws {
    let file = try MemoryFile(name: "test", size: 4096)
    let copy = try MemoryMapping.map(descriptor: file.number, count: 4096, sharing: .privateCopy)
    let original = try file.map(offset: 0, count: 4096)
    withExtendedLifetime((copy, original)) {
      unsafe copy.base.storeBytes(of: 1, as: UInt8.self)
      #expect(unsafe original.base.load(as: UInt8.self) == 0)
    }
  }
}
