import Glibc
import Logging
import Platform
import Testing
import VirtioTesting
import VsockTesting

@testable import VsockDevice

@Suite("Sockets that another process connects", .serialized)
struct ConnectorTests {
  /// Plays the connector on a thread; `answer` gives the answer to each request, or nil where the connector is killed.
  private func withConnector(
    _ answer: @escaping @Sendable (ConnectorRequest) -> (code: Int32, socket: DescriptorBox?)?, _ body: (VsockGuest) throws -> Void
  ) throws {
    let (ours, theirs) = try PacketSocket.pair()
    let thread = try PThread(name: "connector") {
      while case .packet(let packet)? = try? theirs.receive(), let request = ConnectorRequest(packet.bytes) {
        guard let (code, socket) = answer(request) else {
          _ = shutdown(theirs.number, Int32(SHUT_RDWR))
          return
        }
        try? theirs.send(ConnectorAnswer(code: code).encoded, descriptors: socket.map { [$0.number] } ?? [])
      }
    }
    do {
      let table = VsockSwitch(
        context: VsockGuest.context, listeners: [], connector: RemoteConnector(ours),
        logger: Logger(label: "") { _ in SwiftLogNoOpLogHandler() })
      try withActivatedDevice(VsockDevice(context: VsockGuest.context, table: table)) { try body(VsockGuest($0, buffers: 200)) }
    } catch {
      try theirs.send([0])
      throw error
    }
    // Its end of the connection closes with the device.
    _ = consume ours
    thread.join()
  }

  @Test("More connections than the connector takes at once are all answered")
  func many() throws {
    let bench = try VsockBench()
    let path = bench.path + "_9"
    let listener = try UnixSocket.listen(at: path, kind: .stream, backlog: 512)
    try withConnector({ request in
      (0, try? DescriptorBox(UnixSocket.connect(to: path, kind: .stream, mayWait: false)))
    }) { guest in
      for port in 0..<200 as Range<UInt32> {
        _ = try guest.driver.submit(1, readable: [guest.packet(Operation.request, from: port, to: 9).bytes])
      }
      var answered: Set<UInt32> = []
      while answered.count < 200 {
        let response = try guest.receive(Operation.response)
        answered.insert(response.packet.destinationPort)
      }
      try guest.send(data: "through", on: GuestConnection(port: 0, hostPort: 9))
      let programs = try (0..<200).map { _ in try HostProgram.accept(from: listener) }
      #expect(try programs[0].read(7) == Array("through".utf8) || programs.count == 200)
    }
  }

  @Test("Refusals, answers without a socket and nonsense are resets")
  func refusals() throws {
    try withConnector({ request in (request.number == 1 ? 111 : 0, nil) }) { guest in
      for port in [1, 2] as [UInt32] {
        try guest.send(guest.packet(Operation.request, from: 40, to: port))
        #expect(try guest.receive().packet.operation == Operation.reset)
      }
    }
  }

  @Test("Without the connector new connections are refused, those on their way too, and the others go on")
  func gone() throws {
    let bench = try VsockBench()
    let path = bench.path + "_9"
    let listener = try UnixSocket.listen(at: path, kind: .stream)
    try withConnector({ request in
      request.number == 9 ? (0, try? DescriptorBox(UnixSocket.connect(to: path, kind: .stream, mayWait: false))) : nil
    }) { guest in
      try guest.send(guest.packet(Operation.request, from: 1, to: 9))
      #expect(try guest.receive().packet.operation == Operation.response)
      for port in [10, 11, 12] as [UInt32] {
        try guest.send(guest.packet(Operation.request, from: 1, to: port))
        #expect(try guest.receive().packet.operation == Operation.reset)
      }
      try guest.send(data: "through", on: GuestConnection(port: 1, hostPort: 9))
      #expect(try HostProgram.accept(from: listener).read(7) == Array("through".utf8))
    }
  }

  @Test("Requests and answers are read as they were written, and nothing else is")
  func messages() {
    for request in [ConnectorRequest(number: 0, isSequenced: true), ConnectorRequest(number: .max, isSequenced: false)] {
      #expect(ConnectorRequest(request.encoded) == request)
    }
    for answer in [ConnectorAnswer(code: 0), ConnectorAnswer(code: -1), ConnectorAnswer(code: 111)] {
      #expect(ConnectorAnswer(answer.encoded) == answer)
    }
    #expect(ConnectorRequest([1, 2, 3, 4]) == nil)
    #expect(ConnectorRequest([1, 2, 3, 4, 2]) == nil)
    #expect(ConnectorAnswer([1, 2, 3, 4, 5]) == nil)
  }
}
