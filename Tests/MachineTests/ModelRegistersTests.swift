import Testing

@testable import Machine

@Suite("Model-specific registers at the start")
struct ModelRegistersTests {
  @Test("memory is write-back but for the ranges of devices")
  func memoryTypes() throws {
    let values = ModelRegisters.initial(uncached: [.init(base: 0xd000_0000, size: 0x1000_0000)], physicalBits: 40)
    func value(_ index: UInt32) throws -> UInt64 { try #require(values.first { $0.index == index }).value }
    #expect(try value(0x2ff) == 0x806)
    #expect(try value(0x200) == 0xd000_0000)
    #expect(try value(0x201) == 0xff_f000_0800)
  }

  @Test("no more than eight ranges are set: processors have no more registers")
  func manyRanges() {
    let values = ModelRegisters.initial(uncached: (0..<20).map { .init(base: $0 << 20, size: 1 << 20) }, physicalBits: 36)
    #expect(values.count { (0x200...0x2fe).contains($0.index) } == 16)
  }
}
