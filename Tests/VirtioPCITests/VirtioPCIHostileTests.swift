import Bus
import PCI
import Platform
import Testing
import Virtio

/// A guest that tries everything: no access may end the process, and the device works afterwards.
@Suite struct VirtioPCIHostileTests {
  typealias Common = TestGuest.Common

  /// The states in which a device can meet a guest.
  enum Stage: CaseIterable, Sendable {
    case atRest, acknowledged, negotiated, queuesSet, running, runningWithVectors, broken
  }

  private func makeGuest(_ stage: Stage) throws -> TestGuest {
    let guest = try TestGuest(packed: true)
    switch stage {
    case .atRest: break
    case .acknowledged: guest.setStatus(1)
    case .negotiated: guest.negotiate()
    case .queuesSet:
      guest.negotiate()
      guest.setUpQueue(0)
    case .running: guest.start()
    case .runningWithVectors:
      guest.enableVectors()
      guest.start()
    case .broken:
      guest.start()
      guest.device.activation?.interrupt.deviceNeedsReset("test")
    }
    return guest
  }

  @Test(arguments: Stage.allCases) func everyAccessToTheRangeHasAnAnswer(stage: Stage) throws {
    let guest = try makeGuest(stage)
    for offset in UInt64(0)..<0x8008 {
      for width in 1...8 {
        let value = guest.transport.read(offset: offset, width: width)
        if offset >= 0x8000 { #expect(value == .max) }
      }
    }
    for pattern: UInt64 in [.max, 0x0101_0101_0101_0101, 0] {
      for offset in UInt64(0)..<0x8008 {
        for width in 1...8 { guest.transport.write(offset: offset, width: width, value: pattern) }
      }
    }
    for offset: UInt64 in [.max, .max - 7, 1 << 63, 1 << 32] {
      _ = guest.transport.read(offset: offset, width: 8)
      guest.transport.write(offset: offset, width: 8, value: .max)
    }
    for width in [0, -1, 9, .max, .min] {
      _ = guest.transport.read(offset: 0, width: width)
      guest.transport.write(offset: 0, width: width, value: .max)
    }
    guest.start()
    #expect(guest.status == 15)
  }

  @Test(arguments: Stage.allCases) func everyAccessToConfigurationSpaceHasAnAnswer(stage: Stage) throws {
    let guest = try makeGuest(stage)
    for pattern: UInt32 in [.max, 0x0101_0101, 4, 0] {
      for offset in -4...4100 {
        for width in [0, 1, 2, 3, 4, 8] {
          _ = guest.transport.readConfiguration(offset: offset, width: width)
          guest.transport.writeConfiguration(offset: offset, width: width, value: pattern)
          _ = guest.transport.readConfiguration(offset: offset, width: width)
        }
      }
    }
    guest.configure(0x10, 4, UInt32(guest.base))
    guest.configure(4, 2, 6)
    guest.start()
    #expect(guest.status == 15)
  }

  @Test func theWindowReachesTheRangeEvenUndecoded() throws {
    let guest = try TestGuest(enabled: false)
    let window = try #require(guest.capabilities[5])
    func point(_ offset: UInt32, _ length: UInt32, bar: UInt32 = 0) {
      guest.configure(window + 4, 1, bar)
      guest.configure(window + 8, 4, offset)
      guest.configure(window + 12, 4, length)
    }
    point(0x12, 2)
    #expect(guest.configuration(window + 16, 2) == 2)
    point(0x14, 1)
    for status: UInt32 in [1, 3] { guest.configure(window + 16, 1, status) }
    #expect(guest.configuration(window + 16, 1) == 3)
    point(0x2000, 4)
    guest.configure(window + 16, 4, 0xaabb_ccdd)
    #expect(guest.configuration(window + 16, 4) == 0xaabb_ccdd)
    #expect(guest.device.readConfiguration(offset: 0, width: 4) == 0xaabb_ccdd)
    point(0x2004, 1)
    guest.configure(window + 16, 4, 0xffff_ff11)
    #expect(guest.device.readConfiguration(offset: 4, width: 2) == 0x0611)
  }

  @Test func theWindowIsHarmlessWhereverItPoints() throws {
    let guest = try TestGuest()
    guest.start()
    let window = try #require(guest.capabilities[5])
    for bar: UInt32 in [0, 1, 5, 6, 255] {
      for offset: UInt32 in [
        0, 1, 2, 3, 0x14, 0x38, 0xffc, 0x1000, 0x2ffe, 0x2fff, 0x3000, 0x5ffe, 0x6000, 0x7ffc, 0x7fff, 0x8000, 0xffff_fffc, .max,
      ] {
        for length: UInt32 in [0, 1, 2, 3, 4, 5, 8, 0x8000_0000, .max] {
          guest.configure(window + 4, 1, bar)
          guest.configure(window + 8, 4, offset)
          guest.configure(window + 12, 4, length)
          for width in [1, 2, 4] {
            _ = guest.configuration(window + 16, width)
            guest.configure(window + 16, width, 0xffff_ffff)
          }
          _ = guest.configuration(window + 18, 2)
          guest.configure(window + 19, 1, 0xff)
        }
      }
    }
    guest.start()
    #expect(guest.status == 15)
  }

  @Test func aResetThroughTheWindowWorks() throws {
    let guest = try TestGuest()
    guest.start()
    let window = try #require(guest.capabilities[5])
    guest.configure(window + 8, 4, 0x14)
    guest.configure(window + 12, 4, 1)
    guest.configure(window + 16, 1, 0)
    #expect(guest.status == 0)
    #expect(guest.doorbells.attached.isEmpty)
  }

  @Test func processorsMayFightOverADevice() throws {
    let guest = try TestGuest()
    let threads = try (0..<4).map { number in
      try PThread(name: "vcpu\(number)") {
        for round in UInt64(0)..<200 {
          switch number {
          case 0: guest.start()
          case 1:
            guest.configure(0x10, 4, round & 1 == 0 ? 0xd100_0000 : UInt32(guest.base))
            guest.configure(4, 2, UInt32(round & 2))
          case 2: for offset in stride(from: UInt64(0), to: 0x38, by: 4) { guest.transport.write(offset: offset, width: 4, value: round) }
          default:
            guest.device.activation?.interrupt.signalUsed(queue: 0)
            guest.device.activation?.interrupt.deviceNeedsReset("round \(round)")
            _ = guest.transport.read(offset: 0x1000, width: 1)
            guest.transport.write(offset: 0x3000, width: 2, value: 0)
          }
        }
      }
    }
    for thread in threads { thread.join() }
    guest.configure(0x10, 4, UInt32(guest.base))
    guest.configure(4, 2, 6)
    guest.start()
    #expect(guest.status == 15)
    #expect(guest.doorbells.attached == [guest.base + 0x3000, guest.base + 0x3004])
  }
}
