import BlockDevice
import DiskImage
import Glibc
import GuestMemory
import Platform
import Testing
import Virtio
import VirtioTesting

@Suite struct LifecycleTests {
  private static let block = pattern(65536, seed: 4)

  /// Makes `count` reads and writes of 64 KiB available without waiting.
  private func load(_ guest: ActivatedDevice, queue: Int = 0, count: Int) throws {
    for index in 0..<count {
      let sector = UInt64(index % 16 * 128)
      if index % 2 == 0 {
        _ = try guest.submit(queue, readable: [header(Op.read, sector)], writable: [65536, 1], indirect: true)
      } else {
        _ = try guest.submit(queue, readable: [header(Op.write, sector), LifecycleTests.block], writable: [1], indirect: true)
      }
    }
  }

  @Test("After a reset with requests in flight the guest's memory is left alone, again and again", arguments: Variant.all)
  func resetInFlight(_ variant: Variant) throws {
    let file = try ImageFile(size: 1 << 20, parent: variant.parent)
    let device = try file.device(variant) { $0.queueCount = 2 }
    let memory = try GuestMemory(regions: [(GuestAddress(0), 8 << 20)])
    guard variant.features & VirtioFeatures.indirectDescriptors != 0 else { return }
    try withActivatedDevice(device, features: variant.features, memory: memory) { guest in
      for round in 0..<40 {
        try load(guest, queue: 0, count: 16)
        try load(guest, queue: 1, count: 16)
        if round % 4 == 1 { usleep(useconds_t(round * 20)) }
        device.reset()
        if round % 10 == 0 {
          let before = try memory.read(count: 4 << 20, at: GuestAddress(0))
          usleep(2000)
          let after = try memory.read(count: 4 << 20, at: GuestAddress(0))
          #expect(after == before)
        }
        try guest.activate()
        try guest.expectAlive(queue: round % 2)
      }
    }
  }

  @Test("Memory that only the device holds goes when it has ended, not before") func memoryOutlivesRequests() throws {
    let file = try ImageFile(size: 1 << 20)
    let device = try file.device()
    weak var remembered: GuestMemory?
    do {
      let memory = try GuestMemory(regions: [(GuestAddress(0), 8 << 20)])
      remembered = memory
      let guest = try withActivatedDevice(device, memory: memory) { $0 }
      try guest.activate()
      try load(guest, count: 32)
    }
    #expect(remembered != nil)
    device.reset()
    #expect(remembered == nil)
  }

  @Test("A driver that comes again finds a working disk", arguments: Variant.all) func driverReload(_ variant: Variant) throws {
    let file = try ImageFile(size: 1 << 20, parent: variant.parent)
    let device = try file.device(variant)
    for round in 0..<10 {
      try withActivatedDevice(device, features: variant.features) { guest in
        if round > 0 { try guest.expect(sectors: 8, pattern(4096, seed: round - 1)) }
        try guest.writeSectors(8, pattern(4096, seed: round))
      }
    }
    device.reset()
    device.reset()
  }

  @Test("Suspending answers what was taken; what comes later is served after resuming", arguments: Variant.all)
  func suspend(_ variant: Variant) throws {
    let file = try ImageFile(size: 1 << 20, parent: variant.parent)
    let device = try file.device(variant)
    try withActivatedDevice(device, features: variant.features) { guest in
      for round in 0..<20 {
        for index in 0..<8 {
          _ = try guest.submit(0, readable: [header(Op.write, UInt64(index * 8)), pattern(4096, seed: round)], writable: [1])
        }
        device.suspend()
        // Nothing is half done: what the queue handed out has come back.
        let state = try #require(guest.queues[0]).state
        #expect(state.nextAvailable == state.nextUsed)
        _ = try guest.submit(0, readable: [header(Op.read)], writable: [512, 1])
        device.resume()
        for _ in 0..<9 { #expect(try guest.wait(0).bytes.last == Answer.ok) }
      }
      device.resume()
      device.suspend()
      device.suspend()
      device.reset()
      device.resume()
    }
  }

  @Test("A device that is suspended before its driver comes waits for resume") func activateSuspended() throws {
    let file = try ImageFile(size: 8192)
    let device = try file.device()
    device.suspend()
    try withActivatedDevice(device) { guest in
      _ = try guest.submit(0, readable: [header(Op.read)], writable: [512, 1])
      usleep(20_000)
      #expect(try guest.poll(0) == nil)
      device.resume()
      #expect(try guest.wait(0).bytes.last == Answer.ok)
    }
  }

  @Test("A saved state is taken by the same disk and refused by others") func snapshot() throws {
    let file = try ImageFile(size: 8192)
    let device = try file.device { $0.isLocked = false }
    let saved = try withActivatedDevice(device) { _ in
      device.writeConfiguration(offset: 32, width: 1, value: 0)
      device.suspend()
      defer { device.resume() }
      return try device.snapshot()
    }
    let other = try file.device { $0.isLocked = false }
    try other.restore(saved)
    try withActivatedDevice(other) { _ in #expect(other.readConfiguration(offset: 32, width: 1) == 0) }
    try withActivatedDevice(other) { _ in #expect(other.readConfiguration(offset: 32, width: 1) == 1) }
    let larger = try ImageFile(size: 16384)
    for bad in [[], Array(saved.dropLast()), saved + [0], [2] + saved.dropFirst(), saved.dropLast() + [7]] {
      #expect(throws: BlockDeviceError.self) { try other.restore(bad) }
    }
    #expect(throws: BlockDeviceError.self) { try larger.device().restore(saved) }
  }

  @Test("I/O errors of the host reach the guest as such, and the disk goes on") func hostErrors() throws {
    let file = try ImageFile(size: 65536)
    try withActivatedDevice(try file.device()) { guest in
      try guest.writeSectors(0, pattern(65536, seed: 1))
      unsafe #expect(truncate(file.path, 4096) == 0)
      try guest.expect(Answer.ioError, [header(Op.read, 64)], room: [4096])
      try guest.expect(sectors: 0, Array(pattern(65536, seed: 1).prefix(4096)))
    }
  }

  @Test("Writes to a full file system fail with an I/O error, later ones work", .enabled(if: geteuid() == 0))
  func fullFileSystem() throws {
    let file = try ImageFile(size: 8192)
    let directory = "\(file.directory)/mount"
    unsafe #expect(mkdir(directory, 0o700) == 0)
    defer { unsafe rmdir(directory) }
    // May be forbidden even to root, in a container.
    guard unsafe mount("tmpfs", directory, "tmpfs", 0, "size=64k") == 0 else { return }
    defer { unsafe umount2(directory, 2) }
    let image = try OwnedDescriptor.open("\(directory)/disk", flags: O_RDWR | O_CREAT, mode: 0o600)
    #expect(ftruncate(image.number, 1 << 20) == 0)
    try withActivatedDevice(try BlockDevice(BlockConfiguration(path: "\(directory)/disk"))) { guest in
      try guest.expect(Answer.ioError, [header(Op.write), pattern(262144, seed: 0)])
      try guest.expect(Answer.ok, [header(Op.discard), range(0, 2048)])
      try guest.writeSectors(0, pattern(4096, seed: 1))
      try guest.expect(sectors: 0, pattern(4096, seed: 1))
    }
  }
}
