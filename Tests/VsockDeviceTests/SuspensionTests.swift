import Logging
import Platform
import Testing
import VsockTesting

@testable import VsockDevice

@Suite("Suspensions of the socket device", .serialized)
struct SuspensionTests {
  @Test("A client that makes itself heard again and again while nobody listens is noted once, and is heard afterwards")
  func noisyClient() throws {
    let (end, other) = try PacketSocket.pair()
    let table = VsockSwitch(
      context: VsockGuest.context, listeners: [], connector: DirectConnector(prefix: "/nowhere/"),
      logger: Logger(label: "") { _ in SwiftLogNoOpLogHandler() })
    let client = VsockSwitch.Client(socket: HostSocket(try OwnedDescriptor.duplicate(end.number)), isSequenced: false)
    table.endpoints[client.socket.number] = .client(client)
    table.clientCount = 1
    for _ in 0..<2 {
      for _ in 0..<1000 { table.noted(client.socket.number, .readable) }
      #expect(table.readyClients.count == 1)
      table.serveHost()
      #expect(table.readyClients.isEmpty)
    }
    try other.send(Array("CONNECT 52\n".utf8))
    table.noted(client.socket.number, .readable)
    table.serveHost()
    #expect(table.connections.keys.map(\.guestPort) == [52])
  }
}
