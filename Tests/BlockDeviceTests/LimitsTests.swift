import BlockDevice
import DiskImage
import Glibc
import Platform
import Testing
import Virtio
import VirtioTesting

/// What the user allows a disk to use, and how its requests reach the kernel.
@Suite struct LimitsTests {
  /// Reads so often and returns how long that took, in nanoseconds.
  private func time(_ count: Int, bytes: Int, _ change: (inout BlockConfiguration) -> Void) throws -> UInt64 {
    let file = try ImageFile(size: 1 << 20)
    let device = try file.device(change)
    var duration: UInt64 = 0
    try withActivatedDevice(device) { guest in
      let start = monotonicNanoseconds()
      for _ in 0..<count { try guest.expect(sectors: 0, [UInt8](repeating: 0, count: bytes)) }
      duration = monotonicNanoseconds() - start
    }
    return duration
  }

  @Test("No more requests are served than allowed, and a burst is") func requests() throws {
    // 10 at once, 20 more at 100 a second.
    #expect(try time(30, bytes: 512) { $0.limits.requests = RateLimits.Rate(perSecond: 100, burst: 10) } >= 190_000_000)
    // A burst that covers all of them; without it the others would take a second each.
    #expect(try time(30, bytes: 512) { $0.limits.requests = RateLimits.Rate(perSecond: 1, burst: 100) } < 29_000_000_000)
  }

  @Test("No more bytes are moved than allowed, in requests larger than the burst, too") func bytes() throws {
    #expect(try time(5, bytes: 65536) { $0.limits.bytes = RateLimits.Rate(perSecond: 1 << 20, burst: 4096) } >= 230_000_000)
  }

  @Test("A disk that waits for its turn can be reset, suspended and resumed") func waiting() throws {
    let file = try ImageFile(size: 1 << 20)
    let device = try file.device { $0.limits.requests = RateLimits.Rate(perSecond: 20, burst: 1) }
    try withActivatedDevice(device) { guest in
      for round in 0..<3 {
        try guest.expect(sectors: 0, [UInt8](repeating: 0, count: 512))
        _ = try guest.submit(0, readable: [header(Op.read, 0)], writable: [513])
        guest.ring(0)
        if round == 0 {
          device.suspend()
          device.resume()
        }
        _ = try guest.wait(0, for: .seconds(20))
      }
    }
    device.reset()
  }

  @Test("Without io_uring the queues' threads make the system calls", arguments: BlockConfiguration.Executor.allCases)
  func executors(_ executor: BlockConfiguration.Executor) throws {
    let file = try ImageFile(size: 1 << 20)
    let device = try file.device { $0.executor = executor }
    for round in 0..<3 {
      try withActivatedDevice(device) { guest in
        try guest.writeSectors(8, pattern(4096, seed: round))
        try guest.expect(sectors: 8, pattern(4096, seed: round))
      }
    }
    var configuration = BlockConfiguration(path: file.path)
    configuration.isLocked = false
    configuration.executor = executor
    #expect(try BlockBlueprint(configuration).rings == (executor == .uring ? [256] : []))
    // No more than there are processors, each for the requests of its queues, up to as many as one queue may have.
    (configuration.queueCount, configuration.processors) = (3, 1)
    #expect(try BlockBlueprint(configuration).rings == (executor == .uring ? [768] : []))
    configuration.queueCount = 16
    #expect(try BlockBlueprint(configuration).rings == (executor == .uring ? [1024] : []))
  }

  /// A guest may have written such bytes into its own disk, which stays the disk that it is.
  @Test func aDiskThatLooksLikeAForeignFormatIsToldOf() throws {
    let file = try ImageFile(size: 1 << 20)
    var configuration = BlockConfiguration(path: file.path)
    #expect(try BlockBlueprint(configuration).warnings.isEmpty)
    let descriptor = try OwnedDescriptor.open(file.path, flags: O_RDWR)
    #expect(unsafe pwrite(descriptor.number, "KDMV", 4, 0) == 4)
    let warnings = try BlockBlueprint(configuration).warnings
    #expect(warnings.count == 1 && warnings[0].contains("looks like VMDK") && warnings[0].contains("format=raw"), "\(warnings)")
    configuration.format = .raw
    #expect(try BlockBlueprint(configuration).warnings.isEmpty)
  }
}
