import GuestMemory
import NetDevice
import NetTesting
import Platform
import Synchronization
import Testing
import Virtio
import VirtioTesting

/// A thread that sends frames to the guest for as long as there is room.
private final class Sender {
  private let stop = StopFlag()
  private let thread: PThread

  init(_ network: FakeNetwork) throws {
    let stop = stop
    thread = try PThread(name: "sender") {
      var seed = 0
      while !stop.isSet {
        if network.send(plainHeader + frame(count: 60 + seed % 4000, seed: seed)) { seed += 1 }
      }
    }
  }

  deinit {
    stop.set()
    thread.join()
  }
}

/// A flag that one thread sets and another sees.
private final class StopFlag: Sendable {
  private let state = Atomic<Bool>(false)
  var isSet: Bool { state.load(ordering: .relaxed) }
  func set() { state.store(true, ordering: .relaxed) }
}

@Suite struct LifecycleTests {
  @Test("A reset under traffic in both directions, and a driver that comes back", arguments: Variant.all)
  func reset(_ variant: Variant) throws {
    try withCard(variant) { guest, network in
      let sender = try Sender(network)
      for round in 0..<50 {
        try guest.offer([Int](repeating: 700, count: 100))
        for seed in 0..<20 { _ = try guest.submit(Queue.transmit, readable: [plainHeader + frame(count: 600, seed: seed)]) }
        if round % 3 == 0 { _ = try guest.receiveFrame() }
        guest.device.reset()
        try guest.activate()
      }
      try guest.offer([Int](repeating: 700, count: 100))
      for _ in 0..<10 { _ = try guest.receiveFrame() }
      #expect(try guest.order([0, 0, 1]))
      withExtendedLifetime(sender) {}
    }
  }

  @Test("Suspending under traffic gives back what was taken, and resuming goes on", arguments: Variant.all)
  func suspend(_ variant: Variant) throws {
    try withCard(variant) { guest, network in
      let sender = try Sender(network)
      defer { withExtendedLifetime(sender) {} }
      var offered = 0
      for _ in 0..<50 {
        try guest.offer([2000, 3000])
        offered += 2
        for seed in 0..<10 { _ = try guest.submit(Queue.transmit, readable: [plainHeader + frame(count: 600, seed: seed)]) }
        guest.device.suspend()
        for queue in guest.queues.compactMap({ $0 }) {
          #expect(queue.state.nextAvailable == queue.state.nextUsed && queue.state.availableWrap == queue.state.usedWrap)
        }
        guest.device.resume()
        for _ in 0..<10 {
          _ = try guest.wait(Queue.transmit)
          _ = network.receive()
        }
        // A frame that lay in the buffers when the device was suspended is lost; the buffers are not.
        while offered > 0, try guest.poll(Queue.receive) != nil { offered -= 1 }
      }
      try guest.offer([Int](repeating: 4100, count: 20))
      #expect(try guest.receiveFrame().bytes.count >= 60)
    }
  }

  @Test("Buffers without room for a header do not cost those before them at a suspension", arguments: Variant.all)
  func uselessBuffers(_ variant: Variant) throws {
    try withCard(variant) { guest, network in
      for round in 0..<100 {
        // Both are there when the device looks: it takes the first, and gives the other back at once.
        guest.device.suspend()
        try guest.offer([2048, 1])
        guest.device.resume()
        #expect(try guest.wait(Queue.receive).written == 0)
        guest.device.suspend()
        for queue in guest.queues.compactMap({ $0 }) { #expect(queue.state.nextAvailable == queue.state.nextUsed, "round \(round)") }
        guest.device.resume()
        #expect(try guest.wait(Queue.receive).written == 0)
      }
      try guest.expectAlive(network)
    }
  }

  @Test("Nothing moves while the device is suspended") func stillness() throws {
    try withCard { guest, network in
      guest.device.suspend()
      try guest.offer([2000])
      _ = try guest.submit(Queue.transmit, readable: [plainHeader + frame()])
      _ = try guest.submit(Queue.control, readable: [[0, 0, 1]], writable: [1])
      #expect(network.send(plainHeader + frame(seed: 3)))
      #expect(network.receive(milliseconds: 30) == nil)
      for queue in 0..<3 { #expect(try guest.poll(queue) == nil) }
      guest.device.resume()
      #expect(try guest.receiveFrame().bytes == frame(seed: 3))
      #expect(network.receive() == plainHeader + frame())
      #expect(try guest.wait(Queue.control).bytes == [0])
      guest.device.resume()
      guest.device.suspend()
      guest.device.suspend()
      guest.device.reset()
      guest.device.resume()
      try guest.activate()
      try guest.expectAlive(network)
    }
  }

  @Test("A frame that waits for buffers at a suspension is lost, and the next arrives") func waitingFrame() throws {
    try withCard { guest, network in
      try guest.offer([500])
      #expect(network.send(plainHeader + frame(count: 1400, seed: 1)))
      // It has been taken from the network when there is room for more of them than fit.
      try guest.sendFrame([plainHeader, frame()])
      guest.device.suspend()
      guest.device.resume()
      try guest.offer([2000])
      #expect(network.send(plainHeader + frame(count: 100, seed: 2)))
      while true {
        let received = try guest.receiveFrame()
        if received.bytes == frame(count: 100, seed: 2) { break }
        #expect(received.bytes == frame(count: 1400, seed: 1))
        try guest.offer([2000])
      }
    }
  }

  @Test("What the driver has set survives in a saved state, and the guest is asked to announce itself") func snapshot() throws {
    let network = try FakeNetwork(pairs: 4)
    let device = NetDevice(mac: guestMAC, backend: network)
    let saved = try withActivatedDevice(device) { guest in
      #expect(try guest.order([0, 0, 0], queue: 8))
      #expect(try guest.order([1, 1, 2, 0, 0, 0, 0, 7], queue: 8))
      #expect(try guest.order([4, 0, 3, 0], queue: 8))
      #expect(try guest.order([5, 0] + littleEndian(NetFeatures.guestChecksum), queue: 8))
      #expect(device.readConfiguration(offset: 6, width: 2) == 1)
      device.suspend()
      defer { device.resume() }
      return try device.snapshot()
    }
    let second = try FakeNetwork(pairs: 4)
    let copy = NetDevice(mac: guestMAC, backend: second)
    try copy.restore(saved)
    try withActivatedDevice(copy) { guest in
      #expect(second.record.accepted == [.checksum] && second.record.used == [3])
      #expect(copy.readConfiguration(offset: 0, width: 6) == 0x07_00_00_00_00_02)
      // The link is up, and the guest is to tell the network of itself.
      #expect(copy.readConfiguration(offset: 6, width: 2) == 3)
      #expect(try guest.order([3, 0], queue: 8))
      #expect(copy.readConfiguration(offset: 6, width: 2) == 1)
      try guest.offer([256, 256])
      let own = MACAddress(rawValue: 0x02_00_00_00_00_07)
      #expect(second.send(plainHeader + frame(to: guestMAC)) && second.send(plainHeader + frame(to: own, seed: 8)))
      #expect(try guest.receiveFrame().bytes == frame(to: own, seed: 8))
    }
    for bad in [[], Array(saved.dropLast()), saved + [0], [2] + saved.dropFirst()] {
      #expect(throws: NetDeviceError.self) { try copy.restore(bad) }
    }
    let narrow = NetDevice(mac: guestMAC, backend: try FakeNetwork(pairs: 2))
    #expect(throws: NetDeviceError.self) { try narrow.restore(saved) }
    var generator = SplitMix(state: 5)
    for _ in 0..<500 {
      var wrong = saved
      wrong[Int.random(in: 0..<wrong.count, using: &generator)] = .random(in: .min ... .max, using: &generator)
      try? copy.restore(wrong)
    }
  }

  @Test("A pulled cable: driver and network are told, no frame passes, and it goes on when it is plugged in") func link() throws {
    try withCard { guest, network in
      let device = guest.device
      let cable = NetOperator { try device.perform($0) }
      var status: UInt64 { device.readConfiguration(offset: 6, width: 2) }
      for _ in 0..<2 { try cable.setLink(isUp: false) }
      #expect(status == 0 && network.record.links == [false] && guest.interrupt.record.configurationChanges == 1)
      // Given back as if they had been sent.
      for seed in 0..<3 { try guest.sendFrame([plainHeader, frame(seed: seed)]) }
      #expect(network.receive(milliseconds: 30) == nil)
      try guest.offer([2000])
      #expect(network.send(plainHeader + frame(seed: 3)))
      #expect(try guest.order([0, 0, 1]))
      #expect(try guest.poll(Queue.receive) == nil)
      try cable.setLink(isUp: true)
      #expect(status == 1 && network.record.links == [false, true] && guest.interrupt.record.configurationChanges == 2)
      #expect(try guest.receiveFrame().bytes == frame(seed: 3))
      try guest.expectAlive(network)
      // It is the user's, not the driver's: a reset leaves it.
      try cable.setLink(isUp: false)
      device.reset()
      #expect(status == 0)
      device.suspend()
      try cable.setLink(isUp: true)
      device.resume()
      try guest.activate()
      try guest.expectAlive(network)
      for order in [[], [1, 1]] as [[UInt8]] { #expect(throws: MalformedBytes.self) { try device.perform(order) } }
    }
  }

  @Test("Only some of the queues are enabled") func fewQueues() throws {
    try withCard(queueSizes: [0, 256, 64]) { guest, network in
      try guest.sendFrame([plainHeader, frame()])
      #expect(network.receive() == plainHeader + frame())
      #expect(try guest.order([0, 0, 1]))
    }
    try withCard(queueSizes: [256, 0, 0]) { guest, network in
      try guest.offer([256])
      #expect(network.send(plainHeader + frame()))
      #expect(try guest.receiveFrame().bytes == frame())
    }
    try withCard(queueSizes: [0, 0, 0]) { _, _ in }
  }

  @Test("No more frames and bytes go each way than allowed", .timeLimit(.minutes(2))) func limits() throws {
    var limits = RateLimits()
    limits.requests = RateLimits.Rate(perSecond: 100, burst: 10)
    try withCard(limits: limits) { guest, network in
      let start = monotonicNanoseconds()
      for seed in 0..<30 { _ = try guest.submit(Queue.transmit, readable: [plainHeader + frame(seed: seed)]) }
      try guest.offer([Int](repeating: 256, count: 30))
      for seed in 0..<30 { #expect(network.send(plainHeader + frame(seed: seed))) }
      for seed in 0..<30 { #expect(network.receive() == plainHeader + frame(seed: seed)) }
      for seed in 0..<30 { #expect(try guest.receiveFrame().bytes == frame(seed: seed)) }
      #expect(monotonicNanoseconds() - start >= 190_000_000)
    }
    limits = RateLimits()
    limits.bytes = RateLimits.Rate(perSecond: 1 << 20, burst: 4096)
    try withCard(limits: limits) { guest, network in
      let start = monotonicNanoseconds()
      for _ in 0..<5 {
        try guest.sendFrame([plainHeader, frame(count: 65000)])
        #expect(network.receive()?.count == 65012)
      }
      #expect(monotonicNanoseconds() - start >= 230_000_000)
      // Waiting for its turn, it can be suspended and reset.
      _ = try guest.submit(Queue.transmit, readable: [plainHeader + frame(count: 65000)])
      guest.device.suspend()
      guest.device.resume()
    }
  }
}
