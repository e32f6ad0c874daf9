import GuestMemory
import NetDevice
import NetTesting
import Platform
import Testing
import Virtio
import VirtioTesting

@Suite struct RandomTests {
  /// A frame whose length and content follow from a number.
  private func numbered(_ number: Int, _ generator: inout SplitMix) -> [UInt8] {
    let count = [14, 60, 61, 600, 1514, 9014, 30_000, NetRequest.frameLimit].randomElement(using: &generator) ?? 60
    return frame(count: Int.random(in: 14...count, using: &generator), seed: number)
  }

  @Test(
    "Any mix of frames, buffers, cuts, suspensions and resets: what arrives is whole, in order, and from this life",
    arguments: Variant.all, [1, 2, 3] as [UInt64])
  func mix(_ variant: Variant, seed: UInt64) throws {
    var generator = SplitMix(state: seed)
    try withCard(variant) { guest, network in
      var (toGuest, fromGuest): ([[UInt8]], [[UInt8]]) = ([], [])
      for step in 0..<400 {
        switch Int.random(in: 0..<20, using: &generator) {
        case 0..<5:
          let next = numbered(step, &generator)
          if network.send(plainHeader + next) { toGuest.append(next) }
        case 5..<10:
          let sizes = (0..<Int.random(in: 1...8, using: &generator)).map { _ in
            [12, 13, 100, 1526, 4096, 65577].randomElement(using: &generator) ?? 12
          }
          for size in sizes { _ = try? guest.submit(Queue.receive, writable: [size]) }
        case 10..<14:
          let next = numbered(step, &generator)
          let cut = Int.random(in: 1...2000, using: &generator) + next.count / 30
          let pieces = [plainHeader] + stride(from: 0, to: next.count, by: cut).map { Array(next[$0..<min($0 + cut, next.count)]) }
          if (try? guest.submit(Queue.transmit, readable: pieces)) != nil { fromGuest.append(next) }
          // As few as fit the heap between two times that all are back.
          if fromGuest.count > 20 { try drain(guest, network, &fromGuest) }
        case 14..<18: try receive(guest, &toGuest)
        case 18: try drain(guest, network, &fromGuest)
        default:
          try drain(guest, network, &fromGuest)
          if Bool.random(using: &generator) {
            guest.device.reset()
            try guest.activate()
          } else {
            guest.device.suspend()
            guest.device.resume()
          }
        // One frame may have been in the middle of its buffers.
        }
      }
      try drain(guest, network, &fromGuest)
      #expect(guest.interrupt.record.resetReasons.isEmpty)
    }
  }

  /// Takes the frames that the guest has: each is one of those sent, behind the last one taken.
  private func receive(_ guest: ActivatedDevice, _ expected: inout [[UInt8]]) throws {
    while let first = try guest.poll(Queue.receive) {
      if first.written == 0 { continue }
      let buffers = Int(first.bytes[10]) | Int(first.bytes[11]) << 8
      var bytes = first.bytes
      for _ in 1..<max(1, buffers) { bytes += try #require(try guest.poll(Queue.receive), "a buffer of the frame is missing").bytes }
      let index = try #require(expected.firstIndex(of: Array(bytes.dropFirst(12))), "a frame of \(bytes.count) bytes that nobody sent")
      expected.removeFirst(index + 1)
    }
  }

  /// Takes all frames that the guest has sent.
  private func drain(_ guest: ActivatedDevice, _ network: FakeNetwork, _ expected: inout [[UInt8]]) throws {
    for bytes in expected { #expect(network.receive() == plainHeader + bytes) }
    for _ in expected { _ = try guest.wait(Queue.transmit) }
    expected = []
  }
}
