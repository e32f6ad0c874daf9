import Glibc
import NetDevice
import NetTesting
import Platform
import Testing
import VirtioTesting

@Suite struct ValueTests {
  @Test(
    "MAC addresses are read as they are written",
    arguments: [
      ("02:00:00:00:00:01", 0x02_00_00_00_00_01), ("fe-ff-AA-bb-0c-D1", 0xfe_ff_aa_bb_0c_d1), ("ff:ff:ff:ff:ff:ff", 0xffff_ffff_ffff),
      ("", nil), ("02:00:00:00:00", nil), ("02:00:00:00:00:01:", nil), ("2:0:0:0:0:1", nil), ("02:00:00:00:00:0g", nil),
      ("020000000001", nil), ("02:00:00:00:00:+1", nil), ("02:00:00:00:00:0\u{661}", nil),
    ] as [(String, UInt64?)])
  func mac(text: String, value: UInt64?) {
    #expect(MACAddress(text)?.rawValue == value)
    if let value { #expect(MACAddress(MACAddress(rawValue: value).description)?.rawValue == value) }
  }

  @Test("Made-up addresses are one card's, and locally administered") func random() throws {
    let made = try (0..<100).map { _ in try MACAddress.random() }
    #expect(made.allSatisfy { $0.isUsable && $0.bytes[0] & 3 == 2 } && Set(made).count == 100)
  }

  @Test(
    "IPv4 addresses and netmasks are read as they are written",
    arguments: [
      ("10.0.0.1", true, false), ("255.255.255.0", true, true), ("255.255.254.0", true, true), ("128.0.0.0", true, true),
      ("255.0.255.0", true, false), ("0.0.0.0", true, false), ("255.255.255.255", true, false), ("1.2.3", false, false),
      ("1.2.3.4.5", false, false), ("1.2.3.256", false, false), ("1.2.3.", false, false), ("", false, false), ("1.2.3.+4", false, false),
      ("1.2.3.0004", false, false), ("a.b.c.d", false, false),
    ])
  func ipv4(text: String, isAddress: Bool, isNetmask: Bool) {
    #expect((IPv4Address(text) != nil) == isAddress)
    #expect((IPv4Address(text)?.isNetmask ?? false) == isNetmask)
  }

  @Test("What cannot be is refused with a remedy") func configuration() throws {
    let tap = NetConfiguration(.tap(name: "tap0"))
    try tap.validate()
    func refused(_ base: NetConfiguration = tap, _ change: (inout NetConfiguration) -> Void) -> String {
      var configuration = base
      change(&configuration)
      do {
        try configuration.validate()
        return ""
      } catch { return error.description }
    }
    for name in ["", "a/b", "with space", "sixteen-letters!", "tap%d", "a:b", ".", "é"] {
      #expect(refused { $0.attachment = .tap(name: name) }.contains("give"))
    }
    for number in [-1, 0, 2] as [Int32] { #expect(refused { $0.attachment = .descriptor(number) }.contains("give")) }
    let (address, mask) = (try #require(IPv4Address("10.0.0.1")), try #require(IPv4Address("255.255.255.0")))
    #expect(refused { $0.attachment = .host(address: address, netmask: mask) } == "")
    #expect(refused { $0.attachment = .host(address: address, netmask: address) }.contains("255.255.255.0"))
    #expect(refused { $0.attachment = .host(address: IPv4Address(rawValue: 0), netmask: mask) }.contains("give"))
    #expect(refused { $0.mac = .broadcast }.contains("02:00"))
    for count in [0, 17, -1] { #expect(refused { $0.pairCount = count }.contains("1 to 16")) }
    for mtu in [0, 67, 65536, -1] { #expect(refused { $0.mtu = mtu }.contains("68 to 65535")) }
    #expect(refused { ($0.usesKernel, $0.usesPackedQueue) = (true, true) }.contains("not both"))
    #expect(refused { ($0.usesKernel, $0.limits.bytes) = (true, RateLimits.Rate(perSecond: 1)) }.contains("not both"))
    #expect(refused { $0.usesKernel = true } == "")
    #expect(refused { ($0.pairCount, $0.mtu, $0.mac) = (16, 65535, MACAddress(rawValue: 2 << 40)) } == "")
  }

  @Test("Taps that are none are told apart") func taps() throws {
    var configuration = NetConfiguration(.tap(name: "nosuchtap0"))
    #expect(throws: TapError.missing("nosuchtap0", queues: 1)) { try Tap.open(configuration) }
    let file = try OwnedDescriptor.open("/dev/null", flags: O_RDWR)
    configuration.attachment = .descriptor(file.number)
    #expect(throws: TapError.self) { try Tap.open(configuration) }
    configuration.attachment = .descriptor(999_999)
    let error = #expect(throws: TapError.self) { try Tap.open(configuration) }
    #expect(error?.description.contains("descriptor 999999 is not that of a tap") == true)
    #expect(TapError.attach("x", EBUSY).description.contains("another program"))
    #expect(TapError.attach("x", EPERM).description.contains("ip tuntap add x mode tap user"))
    #expect(TapError.attach("vmtap%d", EPERM).description.contains("CAP_NET_ADMIN"))
    #expect(TapError.attach("x", EINVAL).description.contains("multi_queue"))
    #expect(TapError.noTaps(SystemError("open /dev/net/tun", code: ENOENT)).description.contains("modprobe tun"))
  }

  @Test("Fuzzed frames and orders: some random ones, and what the fuzzers begin with") func fuzz() {
    for bytes in NetSeeds.frames.dropLast() {
      guard case .send = fuzzNetTransmit(bytes) else {
        Issue.record("\(bytes) is no frame")
        continue
      }
    }
    #expect(NetSeeds.frames.last.flatMap { fuzzNetTransmit($0) } == .refused(.long))
    for bytes in NetSeeds.orders.enumerated() where bytes.offset != 3 { #expect(fuzzNetControl(bytes.element) != nil, "\(bytes)") }
    for bytes in NetSeeds.streams { fuzzNetStream(bytes) }
    var generator = SplitMix(state: 11)
    for round in 0..<3000 {
      let bytes = (0..<round % 90).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
      fuzzNetTransmit(bytes)
      fuzzNetControl(bytes)
      // Steps of the script are letters: else there would be few.
      if round % 10 == 0 { fuzzNetStream(bytes.flatMap { [Array("wfrspgrf".utf8)[Int($0 & 7)], $0 >> 3, $0] }) }
    }
  }
}
