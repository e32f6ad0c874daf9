import BlockDevice
import DiskImage
import GuestMemory
import Testing
import Virtio
import VirtioTesting

@Suite struct GoodGuestTests {
  @Test("What the guest writes it reads back, and the image holds it", arguments: Variant.all)
  func roundTrip(_ variant: Variant) throws {
    let file = try ImageFile(size: 1 << 20, parent: variant.parent)
    try withActivatedDevice(try file.device(variant), features: variant.features) { guest in
      let data = pattern(65536, seed: 5)
      try guest.writeSectors(8, data)
      try guest.expect(Answer.ok, [header(Op.flush)])
      try guest.expect(sectors: 8, data)
      try guest.expect(sectors: 0, [UInt8](repeating: 0, count: 4096))
      #expect(try file.bytes[4096..<4096 + 65536].elementsEqual(data))
    }
  }

  @Test("A full queue of requests is answered, each with its own data", arguments: Variant.all)
  func deepQueue(_ variant: Variant) throws {
    let file = try ImageFile(size: 4 << 20, parent: variant.parent)
    try withActivatedDevice(try file.device(variant), features: variant.features) { guest in
      let isIndirect = variant.features & VirtioFeatures.indirectDescriptors != 0
      let depth = isIndirect ? 256 : 80
      for round in 0..<2 {
        for index in 0..<depth {
          let data = pattern(4096, seed: index + round)
          _ = try guest.submit(0, readable: [header(Op.write, UInt64(index * 8)), data], writable: [1], indirect: isIndirect)
        }
        for _ in 0..<depth { #expect(try guest.wait(0).bytes == [Answer.ok]) }
        var expected: [UInt16: Int] = [:]
        for index in 0..<depth {
          let request = try guest.submit(
            0, readable: [header(Op.read, UInt64(index * 8))], writable: [4096, 1], indirect: isIndirect)
          expected[request.id] = index
        }
        for _ in 0..<depth {
          let completion = try guest.wait(0)
          let known = expected.removeValue(forKey: completion.request.id)
          let index = try #require(known)
          #expect(completion.written == 4097)
          #expect(completion.bytes == pattern(4096, seed: index + round) + [Answer.ok])
        }
      }
    }
  }

  @Test("The same bytes mean the same, however they are cut into buffers", arguments: Variant.all)
  func anyFraming(_ variant: Variant) throws {
    let file = try ImageFile(size: 1 << 20, parent: variant.parent)
    try withActivatedDevice(try file.device(variant), features: variant.features) { guest in
      let data = pattern(8192, seed: 77)
      let bytes = header(Op.write, 16) + data
      // Header and data in one buffer, the header in single bytes, the border in the middle of data.
      try guest.expect(Answer.ok, [bytes])
      try guest.expect(Answer.ok, bytes.prefix(16).map { [$0] } + [data])
      try guest.expect(Answer.ok, [Array(bytes[..<7]), Array(bytes[7..<4000]), Array(bytes[4000...])])
      // Data and status in one buffer, the status apart, odd pieces.
      for room in [[8192], [1, 8191], [100, 4000, 4092]] {
        let (status, read) = try guest.request([header(Op.read, 16)], room: room)
        #expect(status == Answer.ok)
        #expect(read == data)
      }
      let together = try guest.perform(0, readable: [header(Op.read, 16)], writable: [8193])
      #expect(together.bytes == data + [Answer.ok])
    }
  }

  @Test("The serial number fills what room there is", arguments: [(20, "disk-0123456789abcdef"), (30, "short"), (4, "disk"), (0, "x")])
  func serialNumber(room: Int, id: String) throws {
    let file = try ImageFile(size: 4096)
    try withActivatedDevice(try file.device { $0.id = String(id.prefix(20)) }) { guest in
      let (status, bytes) = try guest.request([header(Op.getID)], room: room == 0 ? [] : [room])
      #expect(status == Answer.ok)
      let full = Array(id.utf8.prefix(20)) + [UInt8](repeating: 0, count: 40)
      #expect(bytes == Array(full.prefix(room)))
    }
  }

  @Test("Discarded and zeroed ranges read as zeroes; several ranges in one request are all done", arguments: Variant.all)
  func discardAndWriteZeroes(_ variant: Variant) throws {
    let file = try ImageFile(size: 1 << 20, parent: variant.parent)
    try withActivatedDevice(try file.device(variant), features: variant.features) { guest in
      var content = pattern(1 << 20, seed: 1)
      for start in stride(from: 0, to: 1 << 20, by: 65536) {
        try guest.writeSectors(UInt64(start / 512), Array(content[start..<start + 65536]))
      }
      try guest.expect(Answer.ok, [header(Op.discard), range(128, 256) + range(1024, 128)])
      try guest.expect(Answer.ok, [header(Op.writeZeroes), range(8, 8), range(24, 16, flags: 1) + range(0, 0)])
      for (sector, count) in [(128, 256), (1024, 128), (8, 8), (24, 16)] {
        content.replaceSubrange(sector * 512..<(sector + count) * 512, with: repeatElement(0, count: count * 512))
      }
      for start in stride(from: 0, to: 1 << 20, by: 65536) {
        try guest.expect(sectors: UInt64(start / 512), content[start..<start + 65536])
      }
    }
  }

  @Test("Each queue serves the same disk", arguments: Variant.all) func severalQueues(_ variant: Variant) throws {
    let file = try ImageFile(size: 1 << 20, parent: variant.parent)
    let device = try file.device(variant) { $0.queueCount = 4 }
    #expect(device.features & BlockFeatures.multipleQueues != 0)
    try withActivatedDevice(device, features: variant.features) { guest in
      for queue in 0..<4 { try guest.writeSectors(UInt64(queue * 8), pattern(4096, seed: queue), queue: queue) }
      for queue in 0..<4 { try guest.expect(sectors: UInt64(3 - queue) * 8, pattern(4096, seed: 3 - queue), queue: queue) }
    }
  }

  @Test("A driver may use some of the queues only") func fewerQueues() throws {
    let file = try ImageFile(size: 8192)
    try withActivatedDevice(try file.device { $0.queueCount = 3 }, queueSizes: [0, 16, 0]) { guest in
      try guest.writeSectors(0, pattern(512, seed: 3), queue: 1)
      try guest.expect(sectors: 0, pattern(512, seed: 3), queue: 1)
    }
  }

  @Test("The smallest queue works, with requests in two buffers") func smallestQueue() throws {
    let file = try ImageFile(size: 8192)
    try withActivatedDevice(try file.device { $0.queueSize = 4 }) { guest in
      for _ in 0..<10 {
        let write = try guest.perform(0, readable: [header(Op.write, 1) + pattern(512, seed: 9)], writable: [1])
        #expect(write.bytes == [Answer.ok])
        let read = try guest.perform(0, readable: [header(Op.read, 1)], writable: [513])
        #expect(read.bytes == pattern(512, seed: 9) + [Answer.ok])
      }
    }
  }

  @Test("Without flush, and with the write cache off, data is written through", arguments: Variant.all)
  func writeThrough(_ variant: Variant) throws {
    let file = try ImageFile(size: 1 << 20, parent: variant.parent)
    let device = try file.device(variant)
    try withActivatedDevice(device, features: variant.features, deviceFeatures: BlockFeatures.writeZeroes) { guest in
      #expect(device.readConfiguration(offset: 32, width: 1) == 0)
      try guest.writeSectors(8, pattern(4096, seed: 2))
      try guest.expect(Answer.ok, [header(Op.writeZeroes), range(0, 8)])
      try guest.expect(sectors: 8, pattern(4096, seed: 2))
    }
    try withActivatedDevice(device, features: variant.features) { guest in
      #expect(device.readConfiguration(offset: 32, width: 1) == 1)
      device.writeConfiguration(offset: 32, width: 1, value: 0)
      #expect(device.readConfiguration(offset: 32, width: 1) == 0)
      try guest.writeSectors(8, pattern(4096, seed: 3))
      try guest.expect(sectors: 8, pattern(4096, seed: 3))
    }
    #expect(device.readConfiguration(offset: 32, width: 1) == 1)
  }

  @Test("A burst of requests costs few interrupts") func fewInterrupts() throws {
    let file = try ImageFile(size: 1 << 20, parent: "/dev/shm")
    let device = try file.device()
    try withActivatedDevice(device, features: VirtioFeatures.version1) { guest in
      // All are there before the device looks.
      device.suspend()
      for index in 0..<60 {
        _ = try guest.drivers[0].submit(readable: [header(Op.read, UInt64(index))], writable: [512, 1])
      }
      device.resume()
      var count = 0
      _ = try guest.within(.seconds(10), "60 answers") {
        while try guest.drivers[0].poll() != nil { count += 1 }
        return count == 60 ? true : nil
      }
      #expect(guest.interrupt.signals() <= 5)
    }
  }
}
