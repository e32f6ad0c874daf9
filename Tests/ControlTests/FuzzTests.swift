import ControlTesting
import Testing

@Suite struct FuzzTests {
  @Test func theSeedsBreakNoPromise() {
    for packet in ControlSeeds.packets {
      for count in 0...packet.count { fuzzControlMessage(Array(packet.prefix(count))) }
    }
  }

  @Test func longPacketsBreakNoPromise() {
    for count in [4087, 4096, 4097, 20_000] { fuzzControlMessage(Array("crosvm 1 error ".utf8) + [UInt8](repeating: 0x61, count: count)) }
  }

  @Test func packetsWithWrongBytesBreakNoPromise() {
    for packet in ControlSeeds.packets {
      for index in packet.indices {
        for byte in [0, 0x0a, 0x20, 0x2d, 0x30, 0x39, 0x3a, 0x7f, 0xcc, 0xff] as [UInt8] {
          var packet = packet
          packet[index] = byte
          fuzzControlMessage(packet)
        }
      }
    }
  }
}
