import GuestMemory
import Platform
import Testing
import Virtio
import VirtioTesting

@Suite("Queue configuration")
struct QueueConfigurationTests {
  private let memory: GuestMemory

  init() throws { memory = try QueueBench.memory() }

  private func refusal(_ configuration: QueueConfiguration, features: UInt64 = 0) throws -> QueueError? {
    let (doorbell, interrupt) = (try EventFD(), try FakeInterrupt())
    do throws(QueueError) {
      _ = try VirtQueue(
        index: 0, configuration: configuration, memory: memory, features: features, doorbell: doorbell, interrupt: interrupt)
      return nil
    } catch {
      return error
    }
  }

  private func layout(
    size: UInt16 = 256, maximum: UInt16 = 256, descriptors: UInt64 = 0x1_0000, driver: UInt64 = 0x2_0000, device: UInt64 = 0x3_0000
  ) -> QueueConfiguration {
    QueueConfiguration(
      size: size, maximumSize: maximum, descriptorArea: GuestAddress(descriptors), driverArea: GuestAddress(driver),
      deviceArea: GuestAddress(device))
  }

  @Test("every power of two up to the maximum is a size")
  func goodSizes() throws {
    for shift in 0...15 {
      let size = UInt16(1) << shift
      let high = layout(size: size, maximum: size, descriptors: 0x10_0000, driver: 0x20_0000, device: 0x30_0000)
      #expect(try refusal(high) == nil)
    }
  }

  @Test("a packed ring takes any size up to the maximum")
  func packedSizes() throws {
    for size in 1...300 as ClosedRange<UInt16> {
      #expect(try refusal(layout(size: size, maximum: 300), features: VirtioFeatures.packedRing) == nil)
    }
  }

  @Test(
    "zero, other than powers of two, and more than the maximum are refused", arguments: [0, 3, 6, 255, 257, 512, 32768, 65535] as [UInt16])
  func badSizes(size: UInt16) throws {
    #expect(try refusal(layout(size: size)) == .badSize(size, maximum: 256))
  }

  @Test("a packed ring refuses zero and more than the maximum", arguments: [0, 257, 32769, 65535] as [UInt16])
  func badPackedSizes(size: UInt16) throws {
    #expect(try refusal(layout(size: size), features: VirtioFeatures.packedRing) == .badSize(size, maximum: 256))
  }

  @Test("a maximum above the specification's is cut to it")
  func absurdMaximum() throws {
    #expect(
      try refusal(layout(size: .max, maximum: .max), features: VirtioFeatures.packedRing) == .badSize(.max, maximum: 32768))
  }

  @Test("areas that are not aligned are refused")
  func misaligned() throws {
    for offset in 1...15 as ClosedRange<UInt64> {
      #expect(
        try refusal(layout(descriptors: 0x1_0000 + offset)) == .misaligned(.descriptors, GuestAddress(0x1_0000 + offset), alignment: 16))
    }
    #expect(try refusal(layout(driver: 0x2_0001)) == .misaligned(.driver, GuestAddress(0x2_0001), alignment: 2))
    #expect(try refusal(layout(driver: 0x2_0002)) == nil)
    for offset in 1...3 as ClosedRange<UInt64> {
      #expect(try refusal(layout(device: 0x3_0000 + offset)) == .misaligned(.device, GuestAddress(0x3_0000 + offset), alignment: 4))
    }
    #expect(
      try refusal(layout(driver: 0x2_0002), features: VirtioFeatures.packedRing)
        == .misaligned(.driver, GuestAddress(0x2_0002), alignment: 4))
  }

  /// Aligned places at which 4096 bytes are not all in guest memory.
  static let outside: [UInt64] = [
    QueueBench.lowEnd, QueueBench.lowEnd - 16, QueueBench.highBase - 16, 0xfee0_0000, QueueBench.highBase + (1 << 20) - 16,
    .max - 15, .max - 0xfff, 1 << 63,
  ]

  @Test("areas outside guest memory, across the hole, or past the end of addresses are refused", arguments: outside)
  func outsideMemory(address: UInt64) throws {
    let place = GuestAddress(address)
    #expect(try refusal(layout(descriptors: address)) == .outsideMemory(.descriptors, place, count: 4096))
    #expect(try refusal(layout(driver: address)) == .outsideMemory(.driver, place, count: 516))
    #expect(try refusal(layout(device: address)) == .outsideMemory(.device, place, count: 2052))
  }

  @Test("an area may end where guest memory ends, and not one byte later")
  func lastByte() throws {
    #expect(try refusal(layout(device: QueueBench.lowEnd - 2052)) == nil)
    #expect(
      try refusal(layout(device: QueueBench.lowEnd - 2052), features: VirtioFeatures.eventIndex)
        == .outsideMemory(.device, GuestAddress(QueueBench.lowEnd - 2052), count: 2054))
  }

  @Test("areas that overlap are refused")
  func overlap() throws {
    #expect(try refusal(layout(driver: 0x1_0ffe)) == .overlap(.descriptors, .driver))
    #expect(try refusal(layout(device: 0x1_0ffc)) == .overlap(.descriptors, .device))
    #expect(try refusal(layout(device: 0x2_0200)) == .overlap(.driver, .device))
    #expect(try refusal(layout(descriptors: 0x1_0000, driver: 0x1_0000, device: 0x1_0000)) == .overlap(.descriptors, .driver))
  }

  @Test("areas that touch are taken")
  func touching() throws {
    #expect(try refusal(layout(driver: 0x1_1000, device: 0x1_1204)) == nil)
    #expect(
      try refusal(layout(driver: 0x1_1000, device: 0x1_1204), features: VirtioFeatures.eventIndex) == .overlap(.driver, .device))
  }

  @Test("areas never programmed are refused")
  func neverProgrammed() throws {
    #expect(try refusal(layout(descriptors: 0, driver: 0, device: 0)) == .overlap(.descriptors, .driver))
  }
}
