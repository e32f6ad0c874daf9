import BlockDevice
import DiskImage
import Glibc
import GuestMemory
import Platform
import Testing
import Virtio
import VirtioTesting

@Suite struct HostileGuestTests {
  /// A guest on a disk of 16 sectors; after whatever it did, the device must still serve a good request.
  private func withGuest(features: UInt64 = .max, _ body: (ActivatedDevice) throws -> Void) throws {
    let file = try ImageFile(size: 8192)
    try withActivatedDevice(try file.device(), deviceFeatures: features) { guest in
      try body(guest)
      try guest.expectAlive()
    }
  }

  @Test(
    "Transfers beyond the disk fail, even where sector, length or both wrap",
    arguments: [16, 17, 15, 1 << 55, UInt64.max / 512, .max - 1, .max] as [UInt64])
  func beyondTheDisk(sector: UInt64) throws {
    try withGuest { guest in
      try guest.expect(Answer.ioError, [header(Op.read, sector)], room: [1024])
      try guest.expect(Answer.ioError, [header(Op.write, sector), pattern(1024, seed: 0)])
    }
  }

  @Test("Lengths that are no whole sectors fail", arguments: [1, 511, 513, 1000])
  func partsOfSectors(count: Int) throws {
    try withGuest { guest in
      try guest.expect(Answer.ioError, [header(Op.read)], room: [count])
      try guest.expect(Answer.ioError, [header(Op.write), pattern(count, seed: 0)])
    }
  }

  @Test("Transfers of nothing succeed on the disk and fail off it") func emptyTransfers() throws {
    try withGuest { guest in
      try guest.expect(Answer.ok, [header(Op.read, 16)])
      try guest.expect(Answer.ok, [header(Op.write, 0)])
      try guest.expect(Answer.ioError, [header(Op.read, 17)])
    }
  }

  @Test("Unknown types are unsupported", arguments: [2, 3, 5, 6, 7, 9, 10, 12, 14, 15, 0x8000_0000, .max] as [UInt32])
  func unknownTypes(type: UInt32) throws {
    try withGuest { guest in
      try guest.expect(Answer.unsupported, [header(type)])
      try guest.expect(Answer.unsupported, [header(type), pattern(512, seed: 0)], room: [512])
    }
  }

  @Test("What the driver did not accept is unsupported", arguments: [Op.flush, Op.discard, Op.writeZeroes])
  func withoutFeature(type: UInt32) throws {
    try withGuest(features: 0) { guest in
      try guest.expect(Answer.unsupported, [header(type), range(0, 8)])
    }
  }

  @Test("A read-only disk stays as it is") func readOnly() throws {
    let file = try ImageFile(size: 8192)
    let device = try file.device { $0.isReadOnly = true }
    #expect(device.features & BlockFeatures.readOnly != 0)
    #expect(device.features & (BlockFeatures.discard | BlockFeatures.writeZeroes | BlockFeatures.writeCacheSwitch) == 0)
    try withActivatedDevice(device, deviceFeatures: .max) { guest in
      try guest.expect(Answer.ioError, [header(Op.write), pattern(512, seed: 1)])
      try guest.expect(Answer.unsupported, [header(Op.discard), range(0, 8)])
      try guest.expect(Answer.unsupported, [header(Op.writeZeroes), range(0, 8)])
      try guest.expect(Answer.ok, [header(Op.flush)])
      try guest.expect(sectors: 0, [UInt8](repeating: 0, count: 8192))
    }
  }

  @Test("Ranges beyond the disk, cut short, too many or none fail", arguments: [Op.discard, Op.writeZeroes])
  func badRanges(type: UInt32) throws {
    try withGuest { guest in
      let wrong: [[UInt8]] = [
        range(16, 1), range(0, 17), range(.max, 1), range(.max, .max), range(1 << 55, 8), range(0, .max), range(0, 8) + range(9, 8),
        Array(range(0, 8).dropLast()), range(0, 8) + [0], [], (0..<33).flatMap { _ in range(0, 1) },
      ]
      for bytes in wrong { try guest.expect(Answer.ioError, bytes.isEmpty ? [header(type)] : [header(type), bytes]) }
      try guest.expect(Answer.ok, [header(type), range(16, 0)])
      try guest.expect(Answer.ok, [header(type), (0..<32).flatMap { _ in range(0, 1) }])
    }
  }

  @Test("Unknown flags are unsupported, and so is unmap in a discard") func rangeFlags() throws {
    try withGuest { guest in
      for flags in [1, 2, 0x8000_0000, .max] as [UInt32] {
        try guest.expect(Answer.unsupported, [header(Op.discard), range(0, 8, flags: flags)])
      }
      try guest.expect(Answer.ok, [header(Op.writeZeroes), range(0, 8, flags: 1)])
      try guest.expect(Answer.unsupported, [header(Op.writeZeroes), range(0, 8, flags: 2)])
      try guest.expect(Answer.unsupported, [header(Op.writeZeroes), range(0, 1) + range(0, 8, flags: 3)])
    }
  }

  @Test("A request that is shorter than its header fails") func cutHeader() throws {
    try withGuest { guest in
      for count in 1..<16 { try guest.expect(Answer.ioError, [Array(header(Op.read).prefix(count))]) }
      #expect(try guest.perform(0, writable: [1]).bytes == [Answer.ioError])
      #expect(try guest.perform(0, writable: [513]).bytes.last == Answer.ioError)
    }
  }

  @Test("A request without room for the answer is given back with nothing written") func missingStatus() throws {
    try withGuest { guest in
      let write = try guest.perform(0, readable: [header(Op.write), pattern(512, seed: 4)])
      #expect(write.written == 0)
      let flush = try guest.perform(0, readable: [header(Op.flush)])
      #expect(flush.written == 0)
      // Nothing of it was done.
      try guest.expect(sectors: 0, [UInt8](repeating: 0, count: 512))
    }
  }

  @Test("More buffers than allowed fail, as many as allowed work") func tooManyBuffers() throws {
    let file = try ImageFile(size: 1 << 20)
    try withActivatedDevice(try file.device { $0.queueSize = 1024 }) { guest in
      #expect(guest.device.readConfiguration(offset: 12, width: 4) == 254)
      let allowed = try guest.request([header(Op.read)], room: [Int](repeating: 512, count: 254), indirect: true)
      #expect(allowed.status == Answer.ok)
      let beyond = try guest.request([header(Op.read)], room: [Int](repeating: 512, count: 1000), indirect: true)
      #expect(beyond.status == Answer.ioError)
      try guest.expectAlive()
    }
  }

  @Test("A broken ring asks for a reset; what was under way is answered, and the driver can start over", arguments: Variant.all)
  func brokenQueue(_ variant: Variant) throws {
    let file = try ImageFile(size: 8192, parent: variant.parent)
    try withActivatedDevice(try file.device(variant), features: variant.features) { guest in
      try guest.writeSectors(0, pattern(4096, seed: 8))
      // A buffer without bytes.
      _ = try guest.drivers[0].add(readable: [GuestBuffer(address: 4096, count: 0)], writable: [], indirect: false)
      guest.ring(0)
      #expect(try guest.waitForReset().hasPrefix("queue 0: "))
      guest.ring(0)
      guest.device.reset()
    }
    try withActivatedDevice(try file.device(variant), features: variant.features) { guest in
      try guest.expect(sectors: 0, pattern(4096, seed: 8))
    }
  }

  @Test("Data in memory that devices do not reach fails that request, and the disk goes on", arguments: Variant.all)
  func unreachableBuffers(_ variant: Variant) throws {
    let file = try ImageFile(size: 1 << 20, parent: variant.parent)
    try withActivatedDevice(try file.device(variant), features: variant.features) { guest in
      try guest.writeSectors(0, pattern(8192, seed: 8))
      let driver = guest.drivers[0]
      func buffer(_ bytes: [UInt8]) throws -> GuestBuffer {
        let address = try driver.heap.allocate(UInt64(bytes.count), alignment: 4096)
        try guest.memory.write(bytes, at: GuestAddress(address))
        return GuestBuffer(address: address, count: UInt32(bytes.count))
      }
      let (read, write) = (try buffer(header(Op.read)), try buffer(header(Op.write)))
      let (data, status) = (try buffer([UInt8](repeating: 7, count: 4096)), try buffer([Answer.none]))
      let far = GuestBuffer(address: 1 << 50, count: 4096)
      let requests: [(readable: [GuestBuffer], writable: [GuestBuffer])] = [
        ([read], [far, status]), ([read], [data, far, status]), ([read], [far, data, status]), ([write, far], [status]),
        ([write, data, far], [status]), ([write, far, data], [status]), ([far, data], [status]),
      ]
      for request in requests {
        try guest.memory.store(Answer.none, at: GuestAddress(status.address))
        _ = try driver.add(readable: request.readable, writable: request.writable, indirect: false)
        guest.ring(0)
        let used = try guest.within(.seconds(10), "an answer") { try guest.pollUsed(0) }
        // The driver must not take what was there before for written.
        #expect(try used.written == 0 && guest.memory.load(GuestAddress(status.address), as: UInt8.self) == Answer.ioError)
      }
      #expect(try guest.memory.read(count: 4096, at: GuestAddress(data.address)).allSatisfy { $0 == 7 })
      // Where the answer itself is out of reach there is none.
      _ = try driver.add(readable: [write, data], writable: [far], indirect: false)
      guest.ring(0)
      #expect(try guest.within(.seconds(10), "a request given back") { try guest.pollUsed(0) }.written == 0)
      try guest.expect(sectors: 0, pattern(8192, seed: 8))
    }
  }

  @Test("Buffers of one request may overlap, and lie in the rings themselves") func overlappingBuffers() throws {
    let file = try ImageFile(size: 8192)
    try withActivatedDevice(try file.device()) { guest in
      let driver = guest.drivers[0]
      let head = try driver.heap.allocate(16)
      try guest.memory.write(header(Op.read), at: GuestAddress(head))
      let ring = driver.configuration.deviceArea.rawValue
      let same = try driver.heap.allocate(4096)
      _ = try driver.add(
        readable: [GuestBuffer(address: head, count: 16)],
        writable: [GuestBuffer(address: same, count: 4096), GuestBuffer(address: same, count: 4096), GuestBuffer(address: same, count: 1)],
        indirect: false)
      guest.ring(0)
      _ = try guest.within(.seconds(10), "an answer") { try driver.poll() }
      // Zeroes of the disk overwrite the used ring while it is in use. Whatever the driver makes of that, the device lives.
      _ = try driver.add(
        readable: [GuestBuffer(address: head, count: 16)], writable: [GuestBuffer(address: ring, count: 513)], indirect: false)
      guest.ring(0)
      usleep(100_000)
      guest.device.reset()
    }
    try withActivatedDevice(try file.device()) { guest in try guest.expectAlive() }
  }

  @Test("The header is what it was when it was read, though the guest changes it all the time") func changingHeader() throws {
    let file = try ImageFile(size: 1 << 20, parent: "/dev/shm")
    try withActivatedDevice(try file.device()) { guest in
      let driver = guest.drivers[0]
      let head = try driver.heap.allocate(16)
      let data = try driver.heap.allocate(1024)
      let stop = StopFlag()
      let memory = guest.memory
      let racer = try PThread(name: "racer") {
        while !stop.isSet {
          for sector in [0, 1 << 60, UInt64.max] { try? memory.store(sector, at: GuestAddress(head + 8)) }
        }
      }
      defer {
        stop.set()
        racer.join()
      }
      for _ in 0..<2000 {
        _ = try driver.add(
          readable: [GuestBuffer(address: head, count: 16)],
          writable: [GuestBuffer(address: data, count: 512), GuestBuffer(address: data + 512, count: 1)], indirect: false)
        guest.ring(0)
        _ = try guest.within(.seconds(10), "an answer") { try guest.pollUsed(0) }
        let status = try memory.load(GuestAddress(data + 512), as: UInt8.self)
        #expect(status == Answer.ok || status == Answer.ioError)
      }
    }
  }
}
