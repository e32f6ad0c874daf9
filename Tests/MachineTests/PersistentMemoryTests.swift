import BasicDevices
import Boot
import Glibc
import Logging
import Testing

@testable import Machine

@Suite struct PersistentMemoryTests {
  /// Lends images of these sizes, made of holes.
  private func withImages(_ sizes: [Int], _ body: ([PmemImage]) throws -> Void) throws {
    var paths: [String] = []
    defer { for path in paths { unsafe _ = unlink(path) } }
    for size in sizes {
      var template = Array("/tmp/crosvm-pmem-XXXXXX".utf8CString)
      close(unsafe mkstemp(&template))
      paths.append(String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self))
      try #require(unsafe truncate(paths[paths.count - 1], size) == 0)
    }
    try body(PersistentMemory.open(paths.map { PmemConfiguration(path: $0) }))
  }

  @Test func anImageThatDoesNotFitIsNamed() throws {
    try withImages([1 << 20, 64 << 30]) { images in
      let error = #expect(throws: MachineError.self) {
        try PersistentMemory.addressMap(ramSize: 1 << 30, images, physicalAddressBits: 36)
      }
      let words = try #require(error?.description)
      #expect(words.contains(images[1].configuration.path) && words.contains("into the 64 GiB"), "\(words)")
    }
  }

  @Test func anImageForWhichThereIsNoSlotIsNamed() throws {
    let error = #expect(throws: MachineError.self) { try withImages([(4 << 40) + 512]) { _ in } }
    #expect(error?.description.contains("at most 4 TiB") == true)
  }

  @Test func eachImageIsMappedAtItsPlace() throws {
    try withImages([2 << 20, 512]) { images in
      let map = try PersistentMemory.addressMap(ramSize: 1 << 30, images, physicalAddressBits: 40)
      let memories = try PersistentMemory.map(images, map, logger: { Logger(label: $0) { _ in SwiftLogNoOpLogHandler() } })
      #expect(memories.map(\.addresses) == map.persistentMemory)
      #expect(memories.map(\.slot.size) == [2 << 20, 2 << 20] && memories.allSatisfy { !$0.slot.isReadOnly })
    }
  }
}
