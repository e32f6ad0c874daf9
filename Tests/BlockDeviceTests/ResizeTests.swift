import BlockDevice
import DiskImage
import Glibc
import GuestMemory
import Platform
import Testing
import Virtio
import VirtioTesting

/// A disk that gets another size while a guest uses it.
@Suite struct ResizeTests {
  private func resize(_ device: BlockDevice, to bytes: UInt64) throws {
    try DiskOperator { try device.perform($0) }.resize(to: bytes, mayShrink: true)
  }

  @Test("A smaller size that is not meant is refused") func smallerByMistake() throws {
    let file = try ImageFile(size: 1 << 20)
    let device = try file.device()
    let disk = DiskOperator { try device.perform($0) }
    #expect(throws: DiskError.self) { try disk.resize(to: 512, mayShrink: false) }
    #expect(device.readConfiguration(offset: 0, width: 8) == (1 << 20) / 512)
    try disk.resize(to: 1 << 20, mayShrink: false)
    try disk.resize(to: 512, mayShrink: true)
    #expect(device.readConfiguration(offset: 0, width: 8) == 1)
  }

  @Test("A larger disk is told of and can be used, a smaller one refuses what is beyond", arguments: Variant.all)
  func largerAndSmaller(_ variant: Variant) throws {
    let file = try ImageFile(size: 1 << 20, parent: variant.parent)
    let device = try file.device(variant)
    try withActivatedDevice(device, features: variant.features) { guest in
      let last = UInt64((2 << 20) / 512 - 8)
      try guest.expect(Answer.ioError, [header(Op.read, last)], room: [4096])
      try resize(device, to: 2 << 20)
      #expect(device.readConfiguration(offset: 0, width: 8) == (2 << 20) / 512)
      #expect(guest.interrupt.record.configurationChanges == 1)
      try guest.expect(sectors: last, [UInt8](repeating: 0, count: 4096))
      try guest.writeSectors(last, pattern(4096, seed: 9))
      try guest.expect(sectors: last, pattern(4096, seed: 9))
      try resize(device, to: 1 << 20)
      #expect(device.readConfiguration(offset: 0, width: 8) == (1 << 20) / 512)
      try guest.expect(Answer.ioError, [header(Op.read, last)], room: [4096])
      try guest.expect(Answer.ioError, [header(Op.write, last), pattern(4096, seed: 9)])
      try guest.expectAlive()
    }
    #expect(try file.bytes.count == 1 << 20)
  }

  @Test("Sizes that cannot be are refused, and the disk is as before") func refused() throws {
    let file = try ImageFile(size: 1 << 20)
    do {
      let device = try file.device { $0.blockSize = 4096 }
      for bytes: UInt64 in [0, 1, 512, 4095, 4096 * 3 + 512, .max, .max - 4095] {
        #expect(throws: (any Error).self) { try resize(device, to: bytes) }
      }
      for order: [UInt8] in [[], [1], [UInt8](repeating: 0, count: 10)] {
        #expect(throws: MalformedBytes.self) { try device.perform(order) }
      }
      #expect(device.readConfiguration(offset: 0, width: 8) == 2048)
    }
    let readOnly = try file.device { $0.isReadOnly = true }
    #expect(throws: DiskError.cannotResize(file.path, "it is read-only")) { try resize(readOnly, to: 2 << 20) }
    #expect(try file.bytes.count == 1 << 20)
  }

  @Test("Whatever the size is at the moment, requests are answered") func underLoad() throws {
    let file = try ImageFile(size: 1 << 20)
    let device = try file.device()
    let isOver = StopFlag()
    let thread = try PThread(name: "resize") {
      var bytes: UInt64 = 512
      while !isOver.isSet {
        try? DiskOperator { try device.perform($0) }.resize(to: bytes, mayShrink: true)
        bytes = bytes * 5 % (2 << 20) / 512 * 512 + 512
      }
    }
    try withActivatedDevice(device) { guest in
      for index in 0..<2000 {
        let sector = UInt64(index * 37 % 4096)
        let answer =
          index % 2 == 0
          ? try guest.request([header(Op.read, sector)], room: [4096])
          : try guest.request([header(Op.write, sector), pattern(4096, seed: index)])
        #expect([Answer.ok, Answer.ioError].contains(answer.status))
      }
    }
    isOver.set()
    thread.join()
  }
}
