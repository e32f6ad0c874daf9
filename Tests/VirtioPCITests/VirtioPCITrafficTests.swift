import GuestMemory
import Interrupts
import Platform
import Synchronization
import Testing
import Virtio
import VirtioTesting

/// Requests over the whole way: rings in memory, notification, worker, used ring, interrupt.
@Suite struct VirtioPCITrafficTests {
  typealias Common = TestGuest.Common

  /// A device whose worker hands each request's bytes back, or keeps requests in flight.
  private final class Echo: Sendable {
    private let worker = Mutex<QueueWorker?>(nil)
    let keeps: Bool

    init(keeps: Bool = false) { self.keeps = keeps }

    func start(_ activation: VirtioActivation) throws {
      let keeps = self.keeps
      let services = activation.queues.compactMap { $0 }.map { queue in
        QueueWorker.Service(queue) { chain, _ in
          if keeps { return .pending }
          var reader = ChainReader(chain)
          var writer = ChainWriter(chain)
          guard let bytes = try? reader.readBytes(Int(reader.remaining)) else { return .failed("nothing to read") }
          guard (try? writer.write(bytes)) != nil else { return .failed("nowhere to write") }
          return .done(written: writer.written)
        }
      }
      let made = try QueueWorker(name: "echo", services: services)
      worker.withLock { $0 = made }
    }

    func stop() { worker.withLock { $0.take() }?.stop() }
  }

  private func makeGuest(_ echo: Echo) throws -> TestGuest {
    let device = FakeDevice(onActivate: { try echo.start($0) }, onReset: { echo.stop() })
    return try TestGuest(device, hasRegistrar: false, packed: true)
  }

  /// Steps of a driver with one queue whose rings are in memory from 64 KiB on.
  private func load(_ guest: TestGuest, _ features: UInt64, vectors: Bool = true) throws -> any QueueDriver {
    let heap = GuestHeap(guest.memory, base: 0x1_0000, count: 0x4_0000)
    let driver: any QueueDriver =
      features & VirtioFeatures.packedRing != 0
      ? try PackedDriver(size: 16, features: features, heap: heap) : try SplitDriver(size: 16, features: features, heap: heap)
    if vectors { guest.enableVectors() }
    guest.negotiate(features)
    guest.store(Common.configurationVector, 2, 0)
    guest.setUpQueue(0, driver.configuration, vector: 1)
    guest.setStatus(15)
    return driver
  }

  /// Polls, for ten seconds at most.
  private func waitFor<Found>(_ find: () throws -> Found?) throws -> Found? {
    let end = ContinuousClock.now + .seconds(10)
    while ContinuousClock.now < end { if let found = try find() { return found } }
    return nil
  }

  private func echo(_ text: String, _ guest: TestGuest, _ driver: any QueueDriver) throws {
    let bytes = Array(text.utf8)
    let request = try driver.submit(readable: [bytes], writable: [bytes.count])
    if try driver.wantsDoorbell() { guest.kick(0) }
    let used = try #require(try waitFor { try driver.poll() })
    #expect(used == UsedElement(id: request.id, written: UInt32(bytes.count)))
    #expect(try driver.written(request, count: used.written) == bytes)
  }

  @Test(arguments: [
    VirtioFeatures.version1, VirtioFeatures.version1 | VirtioFeatures.eventIndex, VirtioFeatures.version1 | VirtioFeatures.packedRing,
    VirtioFeatures.version1 | VirtioFeatures.packedRing | VirtioFeatures.eventIndex | VirtioFeatures.indirectDescriptors,
  ]) func requestsAreServedAndInterruptTheDriver(features: UInt64) throws {
    let echo = Echo()
    let guest = try makeGuest(echo)
    defer { guest.transport.stop() }
    // Loaded, used, unloaded, loaded again.
    for round in 0..<3 {
      let driver = try load(guest, features)
      #expect(guest.status == 15)
      for number in 0..<40 {
        try driver.wish(.next)
        try self.echo("round \(round) request \(number)", guest, driver)
        #expect(try waitFor { guest.messages.sent(0x41) > 0 ? true : nil } == true)
      }
      guest.setStatus(0)
    }
  }

  @Test func withoutVectorsTheStatusByteTellsTheReason() throws {
    let echo = Echo()
    let guest = try makeGuest(echo)
    defer { guest.transport.stop() }
    let driver = try load(guest, VirtioFeatures.version1, vectors: false)
    try self.echo("by line", guest, driver)
    #expect(try waitFor { guest.line.trigger.drain() > 0 ? true : nil } == true)
    #expect(guest.load(0x1000, 1) == 1)
  }

  @Test func aResetWithRequestsInFlightEndsThem() throws {
    let echo = Echo(keeps: true)
    let guest = try makeGuest(echo)
    defer { guest.transport.stop() }
    for _ in 0..<20 {
      let driver = try load(guest, VirtioFeatures.version1)
      for _ in 0..<8 {
        _ = try driver.submit(readable: [[1, 2, 3]], writable: [3])
        guest.kick(0)
      }
      guest.setStatus(0)
      // The device has let go of memory: the rings are another's now.
      let before = try guest.memory.read(count: 0x1000, at: GuestAddress(0x1_0000))
      guest.kick(0)
      #expect(try guest.memory.read(count: 0x1000, at: GuestAddress(0x1_0000)) == before)
      #expect(try driver.poll() == nil)
    }
  }

  @Test func aRingThatBreaksTheRulesAsksForAReset() throws {
    let echo = Echo()
    let guest = try makeGuest(echo)
    defer { guest.transport.stop() }
    let driver = try load(guest, VirtioFeatures.version1)
    let available = driver.configuration.driverArea.rawValue
    try guest.memory.store(UInt16(0x7fff), at: GuestAddress(available + 2))
    guest.kick(0)
    #expect(try waitFor { guest.status == 15 | 0x40 ? true : nil } == true)
    #expect(try waitFor { guest.messages.sent(0x40) > 0 ? true : nil } == true)
    let again = try load(guest, VirtioFeatures.version1)
    try self.echo("after the reset", guest, again)
  }

  @Test func aBufferInTheDevicesOwnRangeIsNoMemory() throws {
    let echo = Echo()
    let guest = try makeGuest(echo)
    defer { guest.transport.stop() }
    let driver = try load(guest, VirtioFeatures.version1)
    _ = try driver.add(readable: [GuestBuffer(address: guest.base, count: 16)], writable: [], indirect: false)
    guest.kick(0)
    #expect(try waitFor { guest.status == 15 | 0x40 ? true : nil } == true)
  }
}
