import GuestMemory
import NetDevice
import NetTesting
import Platform
import Testing
import Virtio
import VirtioTesting

/// Numbers of section 5.1.6.5.
private enum Order {
  static func mode(_ mode: NetControlRequest.ReceiveMode, _ isOn: Bool) -> [UInt8] { [0, mode.rawValue, isOn ? 1 : 0] }
  static func table(unicast: [MACAddress], groups: [MACAddress]) -> [UInt8] {
    [1, 0] + littleEndian(UInt32(unicast.count)) + unicast.flatMap(\.bytes) + littleEndian(UInt32(groups.count)) + groups.flatMap(\.bytes)
  }
  static func vlan(_ number: UInt16, _ isReceived: Bool) -> [UInt8] { [2, isReceived ? 0 : 1] + littleEndian(number) }
}

@Suite struct ControlTests {
  private let other = MACAddress(rawValue: 0x02_00_00_00_00_02)
  private let group = MACAddress(rawValue: 0x01_00_5e_00_00_01)
  private let otherGroup = MACAddress(rawValue: 0x33_33_00_00_00_01)

  /// Which of some frames the guest receives.
  private func received(_ frames: [[UInt8]], _ guest: ActivatedDevice, _ network: FakeNetwork) throws -> [Int] {
    let end = frame(seed: 200)
    // The last one is for the guest whatever the filter.
    try guest.offer([Int](repeating: 256, count: frames.count + 1))
    for frame in frames + [end] { #expect(network.send(plainHeader + frame)) }
    var indices: [Int] = []
    while true {
      let next = try guest.receiveFrame().bytes
      if next == end { break }
      indices.append(try #require(frames.firstIndex(of: next)))
    }
    // So that the next call finds an empty ring.
    while guest.drivers[0].outstanding > 0 {
      #expect(network.send(plainHeader + end))
      _ = try guest.receiveFrame()
    }
    return indices
  }

  @Test("The driver chooses which frames it receives") func filters() throws {
    try withCard { (guest, network) throws in
      let frames = [
        frame(to: guestMAC, seed: 1), frame(to: other, seed: 2), frame(to: group, seed: 3), frame(to: otherGroup, seed: 4),
        frame(to: .broadcast, seed: 5), frame(to: guestMAC, vlan: 5, seed: 6), frame(to: guestMAC, vlan: 4095, seed: 7),
      ]
      // At first everything.
      #expect(try received(frames, guest, network) == [0, 1, 2, 3, 4, 5, 6])
      #expect(try guest.order(Order.mode(.promiscuous, false)))
      #expect(try received(frames, guest, network) == [0, 4])
      #expect(try guest.order(Order.mode(.allGroups, true)))
      #expect(try received(frames, guest, network) == [0, 2, 3, 4])
      #expect(try guest.order(Order.mode(.allGroups, false)))
      #expect(try guest.order(Order.mode(.allUnicast, true)))
      #expect(try received(frames, guest, network) == [0, 1, 4])
      #expect(try guest.order(Order.mode(.allUnicast, false)))
      #expect(try guest.order(Order.mode(.noBroadcast, true)))
      #expect(try guest.order(Order.table(unicast: [other], groups: [otherGroup])))
      #expect(try received(frames, guest, network) == [0, 1, 3])
      #expect(try guest.order(Order.mode(.noGroups, true)))
      #expect(try received(frames, guest, network) == [0, 1])
      #expect(try guest.order(Order.vlan(5, true)))
      #expect(try guest.order(Order.vlan(4095, true)))
      #expect(try guest.order(Order.vlan(5, false)))
      #expect(try received(frames, guest, network) == [0, 1, 6])
    }
  }

  @Test("Tags of providers, and those that give a priority only, are of no VLAN that the driver would name") func otherTags() throws {
    try withCard { (guest, network) throws in
      #expect(try guest.order(Order.mode(.promiscuous, false)))
      var provider = frame(to: guestMAC, vlan: 5, seed: 2)
      provider.replaceSubrange(12..<14, with: [0x88, 0xa8])
      var stranger = frame(to: other, vlan: 5, seed: 3)
      stranger.replaceSubrange(12..<14, with: [0x88, 0xa8])
      let frames = [frame(to: guestMAC, vlan: 0, seed: 1), provider, stranger, frame(to: guestMAC, vlan: 0x6000, seed: 4)]
      #expect(try received(frames, guest, network) == [0, 1, 3])
    }
  }

  @Test("No single card at all") func noUnicast() throws {
    try withCard { (guest, network) throws in
      #expect(try guest.order(Order.mode(.promiscuous, false)))
      #expect(try guest.order(Order.mode(.noUnicast, true)))
      try guest.offer([256, 256])
      #expect(network.send(plainHeader + frame(seed: 1)) && network.send(plainHeader + frame(to: .broadcast, seed: 2)))
      #expect(try guest.receiveFrame().bytes == frame(to: .broadcast, seed: 2))
    }
  }

  @Test("With more addresses than are kept, all of their kind are received") func largeTables() throws {
    try withCard { (guest, network) throws in
      #expect(try guest.order(Order.mode(.promiscuous, false)))
      let many = (0..<10_000).map { MACAddress(rawValue: 0x02_00_00_01_00_00 | UInt64($0)) }
      #expect(try guest.order(Order.table(unicast: many, groups: [])))
      let frames = [frame(to: other, seed: 1), frame(to: group, seed: 2)]
      #expect(try received(frames, guest, network) == [0])
      #expect(try guest.order(Order.table(unicast: [], groups: many.prefix(65).map { MACAddress(rawValue: $0.rawValue | 1 << 40) })))
      #expect(try received(frames, guest, network) == [1])
      #expect(try guest.order(Order.table(unicast: Array(many.prefix(64)), groups: [])))
      #expect(try received(frames, guest, network) == [])
    }
  }

  @Test("Malformed and unknown orders are refused, and good ones work after them")
  func malformed() throws {
    try withCard(pairs: 4) { (guest, network) throws in
      let control = 8
      let wrong: [[UInt8]] = [
        [0], [0, 0], [0, 0, 1, 1], [0, 6, 1], [0, 255, 1], [1], [1, 0], [1, 0, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], [1, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9],
        [1, 1, 2, 0, 0, 0, 0], [1, 1, 2, 0, 0, 0, 0, 1, 1], [1, 1, 1, 0, 0, 0, 0, 1], [1, 1, 0, 0, 0, 0, 0, 0], [1, 2, 0],
        [2, 0, 0, 16], [2, 0, 5], [2, 0, 5, 0, 0], [2, 2, 5, 0], [3, 1], [4, 0, 0, 0], [4, 0, 5, 0], [4, 0, 0xff, 0xff], [4, 0, 1],
        [4, 1, 1, 0], [5, 0, 1], [5, 0, 0, 0, 0, 0, 0, 0, 0, 0x80], [5, 0, 1, 0, 0, 0, 0, 0, 0, 0], [6, 0], [255, 255],
      ]
      for bytes in wrong { #expect(try !guest.order(bytes, queue: control), "\(bytes)") }
      // No room for the answer, and nothing but that.
      #expect(try guest.perform(control, readable: [[0, 0, 1]]).written == 0)
      #expect(try guest.perform(control, writable: [1]).bytes == [1])
      #expect(try guest.perform(control, readable: [[0], [0], [1]], writable: [9]).bytes == [0])
      #expect(try guest.order([0, 0, 1], queue: control))
    }
  }

  @Test("Orders that the driver did not say it would give are refused") func withoutFeatures() throws {
    try withCard(deviceFeatures: NetFeatures.controlQueue) { (guest, _) throws in
      for order in [
        [0, 0, 1], [0, 3, 1], Order.table(unicast: [], groups: []), [1, 1] + other.bytes, Order.vlan(1, true), [3, 0], [4, 0, 1, 0],
      ] {
        #expect(try !guest.order(order))
      }
    }
  }

  @Test("The driver changes its address") func address() throws {
    try withCard { (guest, network) throws in
      let mac = { (0..<6).map { UInt8(guest.device.readConfiguration(offset: $0, width: 1)) } }
      #expect(mac() == guestMAC.bytes)
      #expect(try guest.order([1, 1] + other.bytes))
      #expect(try guest.order(Order.mode(.promiscuous, false)))
      #expect(mac() == other.bytes)
      try guest.offer([256])
      #expect(network.send(plainHeader + frame(to: guestMAC)) && network.send(plainHeader + frame(to: other, seed: 9)))
      #expect(try guest.receiveFrame().bytes == frame(to: other, seed: 9))
      // The next driver begins with the card's own.
      guest.device.reset()
      #expect(mac() == guestMAC.bytes)
    }
  }

  @Test("What the guest takes is told to the network, and changes with its orders") func offloads() throws {
    try withCard { (guest, network) throws in
      let everything: NetOffloads = [.checksum, .tso4, .tso6, .ecn, .ufo, .uso4, .uso6]
      #expect(network.record.accepted == [everything])
      #expect(try guest.order([5, 0] + littleEndian(NetFeatures.guestChecksum | NetFeatures.guestTSO4)))
      #expect(try guest.order([5, 0] + littleEndian(NetFeatures.guestTSO4)))
      #expect(try guest.order([5, 0] + littleEndian(UInt64(0))))
      #expect(network.record.accepted.dropFirst() == [[.checksum, .tso4], [], []])
    }
    try withCard(deviceFeatures: NetFeatures.guestChecksum) { (_, network) throws in #expect(network.record.accepted == [.checksum]) }
  }

  @Test("Pairs of queues come into use by order; without the feature the control queue is the third") func pairs() throws {
    try withCard(pairs: 4) { (guest, network) throws in
      #expect(guest.device.queueSizes.count == 9 && guest.device.readConfiguration(offset: 8, width: 2) == 4)
      #expect(network.record.used == [1])
      #expect(try guest.order([4, 0, 4, 0], queue: 8))
      #expect(try guest.order([4, 0, 2, 0], queue: 8))
      #expect(network.record.used == [1, 4, 2])
      for pair in 0..<4 {
        try guest.sendFrame([plainHeader, frame(seed: pair)], pair: pair)
        #expect(network.receive(pair: pair) == plainHeader + frame(seed: pair))
        try guest.offer([256], pair: pair)
        #expect(network.send(plainHeader + frame(seed: pair), pair: pair))
        #expect(try guest.receiveFrame(pair: pair).bytes == frame(seed: pair))
      }
    }
    try withCard(pairs: 4, deviceFeatures: ~NetFeatures.multipleQueues) { (guest, network) throws in
      #expect(try guest.order([0, 0, 1], queue: 2))
      #expect(try !guest.order([4, 0, 2, 0], queue: 2))
      try guest.expectAlive(network)
    }
  }
}
