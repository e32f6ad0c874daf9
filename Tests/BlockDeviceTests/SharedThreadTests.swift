import BlockDevice
import Glibc
import Platform
import Synchronization
import Testing
import VirtioTesting

/// On a host with fewer processors than a disk has queues, a thread serves several of them.
@Suite struct SharedThreadTests {
  @Test("Each queue is served by some thread", arguments: [(1, 4), (2, 5), (3, 16), (16, 2)], Variant.all)
  func severalQueues(_ counts: (processors: Int, queues: Int), _ variant: Variant) throws {
    let file = try ImageFile(size: 1 << 20, parent: variant.parent)
    let device = try file.device(variant) { ($0.processors, $0.queueCount) = counts }
    try withActivatedDevice(device, features: variant.features) { guest in
      for _ in 0..<3 {
        for queue in 0..<counts.queues { try guest.writeSectors(UInt64(queue * 8), pattern(4096, seed: queue), queue: queue) }
        for queue in 0..<counts.queues {
          let other = counts.queues - 1 - queue
          try guest.expect(sectors: UInt64(other * 8), pattern(4096, seed: other), queue: queue)
        }
        device.suspend()
        device.resume()
      }
    }
  }

  @Test("One thread takes requests of all queues, and each answer goes to its own") func manyRequests() throws {
    let file = try ImageFile(size: 1 << 20)
    let device = try file.device { ($0.processors, $0.queueCount) = (1, 8) }
    try withActivatedDevice(device) { guest in
      // More than the thread has room for at a time.
      let each = 200
      for queue in 0..<8 {
        for index in 0..<each {
          let sector = UInt64((queue * each + index) % 2048)
          _ = try guest.submit(queue, readable: [header(Op.write, sector), pattern(512, seed: queue)], writable: [1], indirect: true)
        }
      }
      for queue in 0..<8 { for _ in 0..<each { #expect(try guest.wait(queue).bytes == [Answer.ok]) } }
      for queue in 0..<8 { #expect(try guest.poll(queue) == nil) }
    }
  }

  @Test("A mistake in one queue leaves the others of its thread working") func aBrokenQueue() throws {
    let file = try ImageFile(size: 1 << 20)
    let device = try file.device { ($0.processors, $0.queueCount) = (1, 3) }
    try withActivatedDevice(device) { guest in
      try guest.expectAlive(queue: 1)
      let split = try #require(guest.drivers[1] as? SplitDriver)
      try split.publish(5000)
      guest.ring(1)
      #expect(try guest.waitForReset().contains("queue 1"))
      for queue in [0, 2] {
        _ = try guest.submit(queue, readable: [header(Op.read)], writable: [512, 1])
        let done = try guest.within(.seconds(10), "an answer in queue \(queue)", stopsAtReset: false) { try guest.poll(queue) }
        #expect(done.bytes.last == Answer.ok)
      }
    }
  }

  @Test("A queue that is never empty does not keep another's requests waiting") func noStarvation() throws {
    let disk = ScriptedDisk()
    var configuration = BlockConfiguration(path: "scripted")
    (configuration.processors, configuration.queueCount) = (1, 2)
    try withActivatedDevice(try BlockDevice(configuration, image: disk)) { guest in
      // Once the doorbell has rung, only the device's thread uses this queue's driver.
      nonisolated(unsafe) let busy = guest.drivers[0]
      let write: @Sendable () throws -> Void = {
        _ = try unsafe busy.submit(readable: [header(Op.write), pattern(512, seed: 1)], writable: [1], indirect: true)
      }
      try write()
      let answered = Atomic<Int>(0)
      // As each write was answered, the driver makes another available.
      disk.play { moment in
        guard moment == .hasNothingToAnswer, (try? unsafe busy.poll()) != nil else { return }
        answered.add(1, ordering: .relaxed)
        try? write()
      }
      guest.ring(0)
      try #require(becomesTrue(within: 10) { answered.load(ordering: .relaxed) >= 20 })
      _ = try guest.submit(1, readable: [header(Op.write), pattern(512, seed: 2)], writable: [1])
      #expect(try guest.wait(1).bytes == [Answer.ok])
      disk.play(nil)
    }
  }

  @Test("What a disk's limits allow goes to the queues in turn") func limits() throws {
    let file = try ImageFile(size: 1 << 20)
    let device = try file.device {
      ($0.processors, $0.queueCount) = (1, 2)
      $0.limits.requests = RateLimits.Rate(perSecond: 50, burst: 10)
    }
    try withActivatedDevice(device) { guest in
      let many = 100
      for _ in 0..<many { _ = try guest.submit(0, readable: [header(Op.read)], writable: [512, 1], indirect: true) }
      _ = try guest.submit(1, readable: [header(Op.read)], writable: [512, 1])
      _ = try guest.wait(1)
      var others = 0
      while try guest.poll(0) != nil { others += 1 }
      // The burst, and one of each in turn; the thread may have gone on meanwhile, but not for a second.
      #expect(others < many / 2)
    }
  }

  @Test("Where a thread sleeps in each request every queue has its own") func sleepingThreads() throws {
    let disk = ScriptedDisk(usesRings: false)
    var configuration = BlockConfiguration(path: "scripted")
    (configuration.processors, configuration.queueCount) = (1, 2)
    try withActivatedDevice(try BlockDevice(configuration, image: disk)) { guest in
      let sleeps = Atomic<Bool>(false)
      let mayGoOn = StopFlag()
      // The first request sleeps for as long as the test wants.
      disk.play { moment in
        guard moment == .hasBegun, !sleeps.exchange(true, ordering: .acquiringAndReleasing) else { return }
        _ = becomesTrue(within: 20) { mayGoOn.isSet }
      }
      _ = try guest.submit(0, readable: [header(Op.write), pattern(512, seed: 1)], writable: [1])
      try #require(becomesTrue(within: 10) { sleeps.load(ordering: .relaxed) })
      _ = try guest.submit(1, readable: [header(Op.write), pattern(512, seed: 2)], writable: [1])
      #expect(try guest.wait(1).bytes == [Answer.ok])
      #expect(try guest.poll(0) == nil)
      mayGoOn.set()
      #expect(try guest.wait(0).bytes == [Answer.ok])
      disk.play(nil)
    }
  }
}

/// Waits for something that another thread does.
///
/// - Parameter seconds: How long at most, and a little more.
/// - Returns: Whether it was done.
private func becomesTrue(within seconds: Int, _ condition: () -> Bool) -> Bool {
  for _ in 0..<1000 * seconds {
    if condition() { return true }
    usleep(1000)
  }
  return condition()
}
