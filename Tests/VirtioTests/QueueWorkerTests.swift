import Glibc
import GuestMemory
import Platform
import Synchronization
import Testing
import Virtio
import VirtioTesting

/// A device whose queues each have a handler that a test gives, served by one worker.
final class HandlerDevice: VirtioDevice {
  let type = VirtioDeviceType(rawValue: 42)
  let features: UInt64 = 0b101
  let queueSizes: [UInt16]
  let budget: Int
  let handlers: [QueueWorker.Handler]
  let worker = Mutex<QueueWorker?>(nil)

  init(size: UInt16 = 16, budget: Int = 64, _ handlers: QueueWorker.Handler...) {
    queueSizes = handlers.map { _ in size }
    self.budget = budget
    self.handlers = handlers
  }

  func readConfiguration(offset: UInt64, width: Int) -> UInt64 { 0 }
  func writeConfiguration(offset: UInt64, width: Int, value: UInt64) {}

  func activate(_ activation: VirtioActivation) throws {
    let services = zip(activation.queues, handlers).compactMap { queue, handler in
      queue.map { QueueWorker.Service($0, budget: budget, handler: handler) }
    }
    let made = try QueueWorker(name: "handler device", services: services)
    worker.withLock { $0 = made }
  }

  func reset() {
    let ended = worker.withLock { $0.take() }
    ended?.stop()
  }

  func suspend() { worker.withLock { $0 }?.suspend() }
  func resume() { worker.withLock { $0 }?.resume() }
  func snapshot() throws -> [UInt8] { [] }
  func restore(_ state: [UInt8]) throws {}

  /// Answers each request with what it reads.
  static let echo: QueueWorker.Handler = { chain, _ in
    var reader = ChainReader(chain)
    var writer = ChainWriter(chain)
    let count = min(reader.remaining, writer.remaining, 4096)
    guard let bytes = try? reader.readBytes(Int(count)), (try? writer.write(bytes)) != nil else { return .failed("no echo") }
    return .done(written: writer.written)
  }
}

@Suite("Queue worker")
struct QueueWorkerTests {
  static let rings: [UInt64] = [
    VirtioFeatures.version1, ActivatedDevice.usualFeatures, VirtioFeatures.version1 | VirtioFeatures.packedRing,
    ActivatedDevice.usualFeatures | VirtioFeatures.packedRing,
  ]

  @Test("requests are answered and interrupts come, on every kind of ring", arguments: rings)
  func echo(features: UInt64) throws {
    try withActivatedDevice(HandlerDevice(HandlerDevice.echo), features: features) { (driver) throws in
      for round in 0..<200 {
        let indirect = features & VirtioFeatures.indirectDescriptors != 0 && round % 2 == 0
        let bytes = (0..<(round % 7 + 1)).map { UInt8(truncatingIfNeeded: $0 + round) }
        let done = try driver.perform(0, readable: [bytes], writable: [3, 20], indirect: indirect)
        #expect(done.bytes == bytes)
      }
    }
  }

  @Test("many requests at once are all answered", arguments: rings, [1, 3, 64])
  func batches(features: UInt64, budget: Int) throws {
    try withActivatedDevice(HandlerDevice(budget: budget, HandlerDevice.echo), features: features) { (driver) throws in
      for _ in 0..<50 {
        for index in 0..<8 as Range<UInt8> { _ = try driver.submit(0, readable: [[index]], writable: [1]) }
        for index in 0..<8 as Range<UInt8> { #expect(try driver.wait(0).bytes == [index]) }
      }
    }
  }

  @Test("what was available before the worker began is served without a doorbell")
  func servedAtStart() throws {
    let device = HandlerDevice(HandlerDevice.echo)
    try withActivatedDevice(device) { (driver) throws in
      device.reset()
      _ = try driver.drivers[0].submit(readable: [[1]], writable: [1])
      let other = try QueueWorker(
        name: "second", services: [.init(try #require(driver.queues[0]), handler: HandlerDevice.echo)])
      let used = try driver.within(.seconds(10), "the request") { try driver.drivers[0].poll() }
      #expect(used.written == 1)
      other.stop()
    }
  }

  @Test("a driver's mistake asks for a reset, silences its queue, and the other queue goes on")
  func mistake() throws {
    try withActivatedDevice(HandlerDevice(HandlerDevice.echo, HandlerDevice.echo)) { (driver) throws in
      try (driver.drivers[0] as? SplitDriver)?.publish(99)
      driver.ring(0)
      #expect(try driver.waitForReset() == "queue 0: descriptor 99 is not in the table of 16")
      driver.ring(0)
      _ = try driver.submit(1, readable: [[5]], writable: [1])
      let done = try driver.within(.seconds(10), "the other queue", stopsAtReset: false) { try driver.poll(1) }
      #expect(done.bytes == [5])
      #expect(driver.interrupt.record.resetReasons.count == 1)
    }
  }

  @Test("requests before the mistake are answered")
  func beforeMistake() throws {
    try withActivatedDevice(HandlerDevice(HandlerDevice.echo)) { (driver) throws in
      let request = try driver.drivers[0].submit(readable: [[1]], writable: [1])
      try (driver.drivers[0] as? SplitDriver)?.publish(99)
      driver.ring(0)
      _ = try driver.waitForReset()
      #expect(try driver.drivers[0].poll()?.id == request.id)
      #expect(driver.interrupt.signals() == 1)
    }
  }

  @Test("a handler that cannot go on asks for a reset with its reason")
  func failedHandler() throws {
    try withActivatedDevice(HandlerDevice({ _, _ in .failed("no more paper") })) { (driver) throws in
      _ = try driver.submit(0, readable: [[1]])
      #expect(try driver.waitForReset() == "queue 0: no more paper")
    }
  }

  @Test("a device that was reset serves its next driver")
  func reload() throws {
    let device = HandlerDevice(HandlerDevice.echo)
    try withActivatedDevice(device) { (driver) throws in
      for _ in 0..<5 {
        #expect(try driver.perform(0, readable: [[1, 2]], writable: [2]).bytes == [1, 2])
        device.reset()
        device.reset()
        try driver.activate()
      }
    }
  }

  @Test("a busy queue does not keep another from being served")
  func fairness() throws {
    let order = Mutex<[UInt16]>([])
    let everythingIsThere = Atomic<Bool>(false)
    let handler: QueueWorker.Handler = { chain, queue in
      while !everythingIsThere.load(ordering: .acquiring) { sched_yield() }
      order.withLock { $0.append(queue.index) }
      return .done(written: 0)
    }
    try withActivatedDevice(HandlerDevice(budget: 2, handler, handler)) { (driver) throws in
      for _ in 0..<10 { _ = try driver.submit(0, readable: [[1]]) }
      driver.ring(0)
      _ = try driver.submit(1, readable: [[1]])
      driver.ring(1)
      everythingIsThere.store(true, ordering: .releasing)
      for _ in 0..<10 { _ = try driver.wait(0) }
      _ = try driver.wait(1)
      let place = try #require(order.withLock { $0.firstIndex(of: 1) })
      #expect(place <= 4, "queue 1 waited for \(place) requests")
    }
  }

  @Test("a suspended worker serves nothing, and everything after it resumes")
  func suspend() throws {
    let device = HandlerDevice(HandlerDevice.echo)
    try withActivatedDevice(device) { (driver) throws in
      device.suspend()
      device.suspend()
      _ = try driver.submit(0, readable: [[1]], writable: [1])
      driver.ring(0)
      #expect(throws: TestingError.timeout("a completion in queue 0")) { try driver.wait(0, for: .milliseconds(50)) }
      #expect(driver.queues[0]?.state == .initial)
      device.resume()
      #expect(try driver.wait(0).bytes == [1])
    }
  }

  @Test("a chain that waits for input is served when the input is there, through a watched descriptor")
  func laterAndWatch() throws {
    let input = try EventFD()
    let hasInput = Mutex(false)
    let device = HandlerDevice({ chain, _ in
      guard hasInput.withLock({ $0 }) else { return .later }
      hasInput.withLock { $0 = false }
      var writer = ChainWriter(chain)
      try? writer.write([0x55])
      return .done(written: writer.written)
    })
    try withActivatedDevice(device) { (driver) throws in
      let worker = try #require(device.worker.withLock { $0 })
      try worker.watch(input.number) { [weak worker] _ in
        input.drain()
        hasInput.withLock { $0 = true }
        worker?.serve(queue: 0)
      }
      for _ in 0..<20 {
        _ = try driver.submit(0, writable: [1])
        input.signal()
        #expect(try driver.wait(0).bytes == [0x55])
      }
      device.suspend()
      input.signal()
      _ = try driver.submit(0, writable: [1])
      #expect(throws: TestingError.self) { try driver.wait(0, for: .milliseconds(30)) }
      device.resume()
      #expect(try driver.wait(0).bytes == [0x55])
      worker.unwatch(input.number)
      _ = try driver.submit(0, writable: [1])
      input.signal()
      #expect(throws: TestingError.self) { try driver.wait(0, for: .milliseconds(30)) }
    }
  }

  @Test("a handler may keep chains and complete them later, in any order")
  func pending() throws {
    let kept = Mutex<[UInt16]>([])
    let device = HandlerDevice({ chain, queue in
      let ready = kept.withLock { kept -> [UInt16] in
        kept.append(chain.id)
        defer { if kept.count == 4 { kept = [] } }
        return kept.count == 4 ? kept.reversed() : []
      }
      for id in ready { queue.complete(id, written: 0) }
      return .pending
    })
    try withActivatedDevice(device) { (driver) throws in
      let made = try (0..<4).map { _ in try driver.submit(0, readable: [[1]]).id }
      #expect(try (0..<4).map { _ in try driver.wait(0).request.id } == made.reversed())
    }
  }

  @Test("doorbells that ring all the time for nothing do no harm")
  func uselessDoorbells() throws {
    try withActivatedDevice(HandlerDevice(HandlerDevice.echo)) { (driver) throws in
      for _ in 0..<1000 { driver.ring(0) }
      #expect(try driver.perform(0, readable: [[1]], writable: [1]).bytes == [1])
    }
  }

  @Test("a queue that the driver left disabled is not served")
  func disabledQueue() throws {
    try withActivatedDevice(HandlerDevice(HandlerDevice.echo, HandlerDevice.echo), queueSizes: [0, 16]) { (driver) throws in
      driver.ring(0)
      #expect(driver.queues[0] == nil)
      #expect(try driver.perform(1, readable: [[1]], writable: [1]).bytes == [1])
    }
  }

  @Test("stopping, suspending and resuming a worker from many threads ends well")
  func manyThreads() throws {
    for _ in 0..<20 {
      let device = HandlerDevice(HandlerDevice.echo)
      try withActivatedDevice(device) { (driver) throws in
        let threads = try (0..<3).map { index in
          try PThread(name: "caller \(index)") {
            for _ in 0..<20 {
              device.suspend()
              device.resume()
            }
          }
        }
        for _ in 0..<20 { #expect(try driver.perform(0, readable: [[1]], writable: [1]).bytes == [1]) }
        device.reset()
        for thread in threads { thread.join() }
      }
    }
  }
}
