import Testing
import Virtio

@Suite("Configuration space")
struct ConfigurationSpaceTests {
  private func space() -> ConfigurationSpace {
    var space = ConfigurationSpace()
    space.append(0x0706_0504_0302_0100 as UInt64)
    space.append(0x0908 as UInt16)
    space.append(contentsOf: [0x0a])
    return space
  }

  @Test("every width at every offset reads little-endian, with zeros beyond the end")
  func everyRead() {
    let space = space()
    for offset in 0..<16 {
      for width in 1...8 {
        var expected: UInt64 = 0
        for index in 0..<width where offset + index < 11 { expected |= UInt64(offset + index) << UInt64(8 * index) }
        #expect(space.read(offset: UInt64(offset), width: width) == expected)
      }
    }
  }

  @Test("offsets near the end of numbers read as zero and write nothing", arguments: [11, 1 << 32, 1 << 63, .max - 3, .max] as [UInt64])
  func farOffsets(offset: UInt64) {
    var space = space()
    #expect(space.read(offset: offset, width: 8) == 0)
    space.write(offset: offset, width: 8, value: .max)
    #expect(space == self.space())
  }

  @Test("widths that no bus has do no harm", arguments: [0, -1, 9, 255, Int.max, Int.min])
  func oddWidths(width: Int) {
    var space = space()
    _ = space.read(offset: 0, width: width)
    space.write(offset: 8, width: width, value: .max)
    #expect(space.bytes.count == 11)
  }

  @Test("a write changes its bytes and no others")
  func everyWrite() {
    for offset in 0..<12 {
      for width in 1...8 {
        var space = space()
        space.write(offset: UInt64(offset), width: width, value: .max)
        for index in 0..<11 { #expect(space.bytes[index] == ((offset..<offset + width).contains(index) ? 0xff : UInt8(index))) }
      }
    }
  }

  @Test("a device sets its fields by their offsets")
  func set() {
    var space = ConfigurationSpace(size: 8)
    space.set(0x1122_3344 as UInt32, at: 2)
    #expect(space.bytes == [0, 0, 0x44, 0x33, 0x22, 0x11, 0, 0])
    space.set(0xff as UInt8, at: -1)
    #expect(space.bytes[0] == 0xff)
  }

  @Test("the specification's feature bits have their numbers")
  func featureBits() {
    #expect(VirtioFeatures.indirectDescriptors == 1 << 28)
    #expect(VirtioFeatures.eventIndex == 1 << 29)
    #expect(VirtioFeatures.version1 == 1 << 32)
    #expect(VirtioFeatures.packedRing == 1 << 34)
    #expect(VirtioFeatures.ringReset == 1 << 40)
    #expect(VirtioFeatures.implementedByQueues & ~VirtioFeatures.reservedForTransport == 0)
    #expect(VirtioFeatures.reservedForTransport == 0x0003_ffff_ff00_0000)
  }
}
