import Glibc
import NetDevice
import NetTesting
import Platform
import Synchronization
import Testing
import Virtio
import VirtioTesting

/// A channel of a network that fails as often as it is told to, and works otherwise.
private final class FailingChannel: FrameChannel {
  private let channel: any FrameChannel
  private let sends = Atomic<Int>(0)
  private let receives = Atomic<Int>(0)
  /// How often it was asked for a frame.
  let asked = Atomic<Int>(0)

  init(_ channel: any FrameChannel) { self.channel = channel }

  var descriptor: Int32 { channel.descriptor }

  func fail(sends: Int = 0, receives: Int = 0) {
    self.sends.store(sends, ordering: .relaxed)
    self.receives.store(receives, ordering: .relaxed)
  }

  func send(_ frame: FrameBuffers) -> FrameOutcome {
    guard sends.wrappingSubtract(1, ordering: .relaxed).oldValue > 0 else { return channel.send(frame) }
    return .refused(EIO)
  }

  func receive(_ buffers: FrameBuffers) -> FrameOutcome {
    asked.add(1, ordering: .relaxed)
    guard receives.wrappingSubtract(1, ordering: .relaxed).oldValue > 0 else { return channel.receive(buffers) }
    return .refused(EINVAL)
  }
}

/// A network with such a channel, which may refuse what the driver asks for, too.
private final class FailingNetwork: NetBackend {
  let inner: FakeNetwork
  let channel: FailingChannel
  let refuses = Atomic<Bool>(false)

  init() throws {
    inner = try FakeNetwork()
    channel = FailingChannel(inner.channels[0])
  }

  var offloads: NetOffloads { inner.offloads }
  var channels: [any FrameChannel] { [channel] }

  func accept(_ offloads: NetOffloads) throws(SystemError) {
    if refuses.load(ordering: .relaxed) { throw SystemError("set the offloads", code: EINVAL) }
  }

  func use(channels count: Int) {}
}

@Suite struct FailingNetworkTests {
  @Test("Frames that the host refuses are lost, those after them are not, and few lines say so") func refusals() throws {
    let lines = LogLines()
    let network = try FailingNetwork()
    try withActivatedDevice(NetDevice(mac: guestMAC, backend: network, logger: lines.logger)) { guest in
      network.channel.fail(sends: 100)
      for _ in 0..<100 { try guest.sendFrame([plainHeader, frame()]) }
      try guest.expectAlive(network.inner)
      network.channel.fail(receives: 1000)
      let before = network.channel.asked.load(ordering: .relaxed)
      try guest.offer([2048])
      // Each new frame gives it another chance, and it asks no more often than that.
      var sent = 0
      while try guest.poll(Queue.receive) == nil {
        _ = network.inner.send(plainHeader + frame(seed: sent))
        sent += 1
        try #require(sent < 1000)
        guest.interrupt.wait(milliseconds: 1)
      }
      #expect(network.channel.asked.load(ordering: .relaxed) - before <= 1100)
      #expect((1...5).contains(lines.all.count) && lines.all[0].contains("Input/output error"))
    }
  }

  @Test("A network that does not do what the driver asks for refuses the order, and the card goes on") func refusedOrders() throws {
    let network = try FailingNetwork()
    try withActivatedDevice(NetDevice(mac: guestMAC, backend: network, logger: silent)) { guest in
      network.refuses.store(true, ordering: .relaxed)
      #expect(try !guest.order([5, 0] + littleEndian(NetFeatures.guestChecksum)))
      network.refuses.store(false, ordering: .relaxed)
      #expect(try guest.order([5, 0] + littleEndian(NetFeatures.guestChecksum)))
      try guest.expectAlive(network.inner)
      network.refuses.store(true, ordering: .relaxed)
      guest.device.reset()
      #expect(throws: SystemError.self) { try guest.activate() }
    }
  }
}
