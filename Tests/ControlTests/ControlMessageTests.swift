import Testing

@testable import Control

@Suite struct ControlMessageTests {
  private static let requests: [ControlRequest] = [
    .stop, .suspend, .resume, .pressPowerButton, .balloon(bytes: 0), .balloon(bytes: .max), .balloonStatistics,
    .resizeDisk(index: 25, bytes: 1 << 40, mayShrink: false), .resizeDisk(index: 0, bytes: 512, mayShrink: true),
    .setLink(card: 31, isUp: true), .setLink(card: 0, isUp: false), .listUSB,
    .attachUSB(.init(bus: 1, address: 200, vendor: 0x18d1, product: 0)),
    .detachUSB(port: 3), .version,
  ]

  @Test("A request is read as it was sent", arguments: requests)
  func roundTrip(_ request: ControlRequest) throws {
    let packet = ControlMessage.packet(request.words)
    #expect(try ControlRequest(words: try ControlMessage.words(of: packet)) == request)
  }

  @Test("A response is read as it was sent", arguments: [ControlResponse.done(""), .done("{\"a\": 1}"), .failed("no: such thing")])
  func responses(_ response: ControlResponse) throws {
    #expect(ControlResponse(words: try ControlMessage.words(of: ControlMessage.packet(response.words))) == response)
  }

  @Test(
    "Words that are no request are refused",
    arguments: [
      "", " ", "stop ", " stop", "stop now", "STOP", "balloon", "balloon ", "balloon x", "balloon -1", "balloon +1",
      "balloon 18446744073709551616", "balloon 1 2", "balloon 0x10", "disk", "disk resize", "disk resize 0", "disk resize 0 -1",
      "disk resize 0 1 grow", "disk resize 0 1 shrink 2", "disk shrink 0 1", "net", "net link", "net link 0", "net link up 0",
      "net link 0 UP", "net link -1 up", "net link 0 up down", "net drop 0 up", "usb", "usb attach", "usb attach 1:2:3",
      "usb attach 256:1:1:1", "usb attach 1:1:10000:1", "usb attach ::: ",
      "usb detach 256", "usb list 1", "version 2",
    ])
  func wrongWords(_ words: String) {
    #expect(throws: ControlError.self) { try ControlRequest(words: words) }
  }

  @Test(
    "Packets that do not speak the protocol are refused",
    arguments: [
      [], Array("crosvm".utf8), Array("crosvm 1".utf8), Array("crosvm  1 stop".utf8), Array("qemu 1 stop".utf8),
      Array("crosvm 1 stop\n".utf8), Array("crosvm 1 stop\0".utf8), [0xff, 0xfe], Array("crosvm 1 ".utf8) + [0xc3],
      [UInt8](repeating: 0x61, count: ControlMessage.sizeLimit + 1),
    ])
  func wrongPackets(_ packet: [UInt8]) {
    #expect(throws: ControlError.self) { try ControlMessage.words(of: packet) }
  }

  @Test("Another version is named", arguments: ["0", "2", "01", "", "99999999999999999999"])
  func otherVersion(_ version: String) {
    #expect { try ControlMessage.words(of: Array("crosvm \(version) stop".utf8)) } throws: { error in
      guard case ControlError.otherVersion = error else { return false }
      return "\(error)".contains("version '\(version.prefix(8))'")
    }
  }

  @Test("A packet never exceeds its limit, nor breaks a character or a line") func limits() throws {
    let packet = ControlMessage.packet("ok " + String(repeating: "ä\n", count: 4000))
    #expect(packet.count <= ControlMessage.sizeLimit && packet.count > ControlMessage.sizeLimit - 4)
    #expect(try ControlMessage.words(of: packet).hasPrefix("ok ä ä "))
  }

  @Test("Any bytes are a request or an error") func anything() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      let tail = (0..<Int.random(in: 0...40, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator) }
      let packet = Bool.random(using: &generator) ? Array("crosvm 1 ".utf8) + tail : tail
      guard let words = try? ControlMessage.words(of: packet), let request = try? ControlRequest(words: words) else { continue }
      #expect((try? ControlRequest(words: request.words)) == request)
    }
  }
}
