import Glibc
import Testing

@testable import NetDevice

@Suite("What passt is told, and why it is not started")
struct PasstTests {
  @Test("Each forwarded port is an option of its own, after the MTU")
  func arguments() {
    let first = ["passt", "--quiet", "--stderr", "--fd", "3"]
    #expect(Passt.arguments([], nil) == first)
    let forwards = ["udp:53", "tcp:127.0.0.1:2222:22", "udp:127.0.0.2:5000:6000", "tcp:8080:80"].compactMap { PortForward($0) }
    #expect(
      Passt.arguments(forwards, 1400) == first
        + [
          "--mtu", "1400", "--tcp-ports", "127.0.0.1/2222:22", "--tcp-ports", "8080:80", "--udp-ports", "53:53", "--udp-ports",
          "127.0.0.2/5000:6000",
        ])
  }

  @Test("An address that the host does not have is named as such, not as a port in use", arguments: PortForward.Transport.allCases)
  func foreignAddress(_ transport: PortForward.Transport) throws {
    // For documentation only (RFC 5737).
    let address = try #require(IPv4Address("192.0.2.77"))
    let error = #expect(throws: PasstError.self) {
      try Passt.start(forwards: [PortForward(transport, address: address, hostPort: 5999, guestPort: 80)], mtu: nil)
    }
    #expect(error == .address(address))
    #expect(error?.description.contains("does not have the address 192.0.2.77") == true)
  }
}
