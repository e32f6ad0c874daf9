/// A port of the host whose connections or datagrams go to a port of the guest.
public struct PortForward: Equatable, Sendable {
  /// What is forwarded.
  public enum Transport: String, Sendable, CaseIterable {
    /// Connections.
    case tcp
    /// Datagrams.
    case udp
  }

  /// What is forwarded.
  public var transport: Transport
  /// Where the host listens; everywhere where it is nil.
  public var address: IPv4Address?
  /// The host's port, from 1.
  public var hostPort: UInt16
  /// The guest's port, from 1.
  public var guestPort: UInt16

  /// Makes one.
  public init(_ transport: Transport, address: IPv4Address? = nil, hostPort: UInt16, guestPort: UInt16) {
    self.transport = transport
    self.address = address
    self.hostPort = hostPort
    self.guestPort = guestPort
  }

  /// Reads `tcp:8080:80`, `tcp:127.0.0.1:8080:80`, or `udp:53` for the same port on both sides; nil for anything else.
  public init?(_ text: String) {
    var parts = text.split(separator: ":", omittingEmptySubsequences: false)[...]
    guard let transport = parts.popFirst().flatMap({ Transport(rawValue: String($0)) }) else { return nil }
    var address: IPv4Address?
    if let first = parts.first, first.contains(".") {
      guard let given = IPv4Address(String(first)) else { return nil }
      address = given
      parts.removeFirst()
    }
    let ports = parts.compactMap { part in PortForward.port(part) }
    guard (1...2).contains(ports.count), ports.count == parts.count else { return nil }
    self.init(transport, address: address, hostPort: ports[0], guestPort: ports[ports.count - 1])
  }

  private static func port(_ text: Substring) -> UInt16? {
    guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(text), port > 0 else { return nil }
    return port
  }

  /// Whether two programs cannot listen for both: the same port, at the same address or at all.
  public func listensBeside(_ other: PortForward) -> Bool {
    transport == other.transport && hostPort == other.hostPort && (address == nil || other.address == nil || address == other.address)
  }

  /// Where the host listens, in words.
  var place: String { "\(transport.rawValue) port \(hostPort)\(address.map { " at \($0)" } ?? "")" }

  /// As passt's options -t and -u take it.
  var specification: String { (address.map { "\($0)/" } ?? "") + "\(hostPort):\(guestPort)" }
}
