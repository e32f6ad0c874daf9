import BlockDevice
import GuestMemory
import Testing
import Virtio
import VirtioTesting

@Suite struct GoodGuestTests {
  @Test("What the guest writes it reads back, and the image holds it", arguments: Variant.all)
  func roundTrip(_ variant: Variant) throws {
    let file = try ImageFile(size: 1 << 20, parent: variant.parent)
    let device = try file.device {
      $0.isDirect = variant.isDirect; $0.blockSize = variant.isDirect ? 4096 : 512
    }
    try withActivatedDevice(device, features: variant.features) { guest in
      let data = pattern(65536, seed: 5)
      try guest.writeSectors(8, data)
      #expect(try guest.request([header(Op.flush)]).status == Answer.ok)
      #expect(try guest.readSectors(8, count: 128) == data)
      #expect(try guest.readSectors(0, count: 8) == [UInt8](repeating: 0, count: 4096))
      #expect(try file.bytes[4096..<4096 + 65536].elementsEqual(data))
    }
  }
}
