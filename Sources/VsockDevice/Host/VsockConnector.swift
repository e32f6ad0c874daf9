internal import Glibc
internal import Platform

/// Connects to the Unix sockets of the host that the guest's connections go to.
protocol VsockConnector: AnyObject {
  /// Where answers come that were pending, for the event loop; nil where there are none.
  var number: Int32? { get }

  /// Begins to connect for a port of the host.
  func connect(port: UInt32, isSequenced: Bool) -> VsockConnectorAnswer

  /// The next answer to a pending connection, in the order in which they were begun; nil where there is none yet.
  func next() -> VsockConnectorAnswer?
}

/// What came of an attempt.
enum VsockConnectorAnswer {
  /// The socket.
  case connected(HostSocket)
  /// The host program has too many connections to accept: to be tried again soon.
  case busy
  /// The connector has no time: to be tried again after its next answer.
  case later
  /// The answer comes later.
  case pending
  /// Nobody listens there, or this user may not connect.
  case failed(Int32)
}

/// Connects from this process: where the device is in the VMM's own.
final class DirectConnector: VsockConnector {
  private let prefix: String

  init(prefix: String) { self.prefix = prefix }

  var number: Int32? { nil }

  func connect(port: UInt32, isSequenced: Bool) -> VsockConnectorAnswer {
    do throws(SystemError) {
      return .connected(
        HostSocket(try UnixSocket.connect(to: "\(prefix)\(port)", kind: isSequenced ? .sequencedPacket : .stream, mayWait: false)))
    } catch { return error.code == EAGAIN ? .busy : .failed(error.code) }
  }

  func next() -> VsockConnectorAnswer? { nil }
}

/// Has a process outside the sandbox connect: see `ConnectorRequest`.
final class RemoteConnector: VsockConnector {
  /// The most attempts under way: each may be a descriptor on its way here. So few always fit the socket.
  static let limit = 32

  private let connection: PacketSocket
  private var underWay = 0

  init(_ connection: PacketSocket) { self.connection = connection }

  var number: Int32? { connection.number }

  func connect(port: UInt32, isSequenced: Bool) -> VsockConnectorAnswer {
    guard underWay < RemoteConnector.limit else { return .later }
    do throws(SystemError) {
      try connection.send(ConnectorRequest(number: port, isSequenced: isSequenced).encoded, mayWait: false)
      underWay += 1
      return .pending
    } catch { return .failed(error.code) }
  }

  func next() -> VsockConnectorAnswer? {
    guard underWay > 0 else { return nil }
    switch try? connection.receive(milliseconds: 0, limit: ConnectorAnswer.size) {
    case .nothing?: return nil
    case .packet(let packet)?:
      underWay -= 1
      guard let answer = ConnectorAnswer(packet.bytes) else { return .failed(EPROTO) }
      guard let socket = packet.descriptors.first?.take() else { return answer.code == EAGAIN ? .busy : .failed(answer.code) }
      return .connected(HostSocket(socket))
    case .closed?, nil:
      underWay -= 1
      return .failed(EPIPE)
    }
  }
}
