internal import Control

/// Reads a packet of a client or of a machine, as the other end of a control socket does.
///
/// Whatever the bytes are: what is understood is understood again when it is sent on, and what is refused is refused with a reason.
public func fuzzControlMessage(_ packet: [UInt8]) {
  let words: Substring
  do { words = try ControlMessage.words(of: packet) } catch {
    precondition(!error.description.isEmpty, "a packet is refused for a reason")
    return check(.failed(error.description))
  }
  do {
    let request = try ControlRequest(words: words)
    precondition(again(request.words) { try ControlRequest(words: $0) } == request, "a request survives its encoding")
  } catch {
    check(.failed(error.description))
  }
  if let response = ControlResponse(words: words) { check(response) }
}

/// A machine may answer with any text; what fits arrives, and the rest is cut.
private func check(_ response: ControlResponse) {
  let packet = ControlMessage.packet(response.words)
  precondition(packet.count <= ControlMessage.sizeLimit, "a packet is not too long")
  precondition((try? ControlMessage.words(of: packet)) != nil, "a packet that is sent can be read")
}

private func again<Value>(_ words: String, _ read: (Substring) throws -> Value) -> Value? {
  (try? ControlMessage.words(of: ControlMessage.packet(words))).flatMap { try? read($0) }
}

/// What the fuzzing of the control socket begins with.
public enum ControlSeeds {
  private static let requests: [ControlRequest] = [
    .stop, .suspend, .resume, .pressPowerButton, .balloon(bytes: 1 << 30), .balloonStatistics,
    .resizeDisk(index: 1, bytes: 1 << 40, mayShrink: true),
    .listUSB, .attachUSB(.init(bus: 1, address: 2, vendor: 0x18d1, product: 0xffff)), .detachUSB(port: 3), .version,
  ]

  /// Good packets.
  public static let packets =
    requests.map { ControlMessage.packet($0.words) }
    + [ControlResponse.done(""), .done("1 é"), .failed("no")].map { ControlMessage.packet($0.words) }

  /// Words that packets are made of.
  public static let words =
    ["crosvm 1 ", "ok ", "error ", " ", ":", "18446744073709551615", "\u{301}"]
    + Set(requests.flatMap { $0.words.split(separator: " ") })
    .map { String($0) }.sorted()
}
