import Glibc
import Platform
import Testing
import Vhost
import Virtio
import VirtioTesting
import VsockTesting

@Suite("Queues that are lent to the host's kernel")
struct LentQueueTests {
  private final class Token: Sendable {}

  @Test("When they are taken back nothing of them is left: a driver may come and go any number of times")
  func nothingIsLeft() throws {
    let bench = try VsockBench()
    try bench.withGuest { guest in
      let queue = try #require(guest.driver.queues[0])
      weak var left: Token?
      do {
        let token = Token()
        left = token
        let kernel = VhostDevice(try OwnedDescriptor.open("/dev/null", flags: O_RDWR))
        let lent = try VhostQueues([(queue: queue, ring: 0)], kernel: kernel, name: "lent") { _ in withExtendedLifetime(token) {} }
        #expect(lent.rings == [0])
        lent.stop()
      }
      #expect(left == nil)
    }
  }
}
