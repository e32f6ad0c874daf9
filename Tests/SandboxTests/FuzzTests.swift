import SandboxTesting
import Testing
import VirtioTesting

@Suite struct FuzzTests {
  @Test func theSeedsOfMessagesBreakNoPromise() {
    for packet in DeviceMessageSeeds.packets {
      fuzzDeviceMessage(packet)
      for count in 0..<packet.count { fuzzDeviceMessage(Array(packet.prefix(count))) }
    }
  }

  @Test(arguments: 0..<4) func randomMessagesBreakNoPromise(_ seed: UInt64) {
    var generator = SplitMix(state: seed)
    for round in 0..<2000 {
      var packet = DeviceMessageSeeds.packets[round % DeviceMessageSeeds.packets.count]
      for _ in 0..<3 { packet[Int.random(in: 0..<packet.count, using: &generator)] = .random(in: .min ... .max, using: &generator) }
      fuzzDeviceMessage(packet)
      fuzzDeviceMessage((0..<(round % 64)).map { _ in .random(in: .min ... .max, using: &generator) })
    }
  }

  @Test func goodSessionsBreakNoPromise() {
    for session in DeviceSessionSeeds.sessions {
      for count in 0...session.count { fuzzDeviceSession(Array(session.prefix(count))) }
    }
  }

  @Test(arguments: 0..<4) func randomGuestsAndDevicesBreakNoPromise(_ seed: UInt64) {
    var generator = SplitMix(state: seed)
    for round in 0..<150 { fuzzDeviceSession((0..<(16 + 4 * round)).map { _ in .random(in: .min ... .max, using: &generator) }) }
  }
}
