import CLinux
import Control
import Glibc
import Logging
import Platform
import Synchronization
import Testing

/// A server at a socket in a directory of its own, with its loop on a thread.
private final class Server: Sendable {
  let folder: String
  let path: String
  private let loop: EventLoop
  private let server: ControlServer
  private let thread: PThread
  private let log = Log()

  /// What the server was asked.
  private final class Log: Sendable {
    let requests = Mutex<[ControlRequest]>([])
  }

  init(path name: String = "socket", prepare: (String) throws -> Void = { _ in }) throws {
    var template = Array("/tmp/control-XXXXXX".utf8CString)
    guard unsafe mkdtemp(&template) != nil else { throw SystemError.last("make a directory") }
    folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    try prepare(folder)
    let loop = try EventLoop()
    let log = log
    server = try ControlServer(path: name.isEmpty ? folder : folder + "/" + name, loop: loop, logger: Logger(label: "test")) { request in
      log.requests.withLock { $0.append(request) }
      switch request {
      // Known only once somebody else has asked for something.
      case .balloonStatistics: return .later { log.requests.withLock { $0.contains(.version) } ? .failed("no balloon") : nil }
      case .version: return .now(.done("1.2"))
      default: return .now(.done(""))
      }
    }
    path = server.path
    self.loop = loop
    thread = try PThread(name: "control") { try? loop.run() }
  }

  var seen: [ControlRequest] { log.requests.withLock { $0 } }

  func end() {
    loop.stop()
    thread.join()
    server.stop()
    _ = unsafe rmdir(folder)
  }
}

/// A client that sends what it likes.
private final class Raw {
  let socket: OwnedDescriptor
  init(_ path: String) throws { socket = try UnixSocket.connect(to: path, kind: .sequencedPacket) }

  @discardableResult
  func send(_ bytes: [UInt8]) -> Bool {
    unsafe bytes.withUnsafeBytes { unsafe Glibc.send(socket.number, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) } == bytes.count
  }

  /// The next packet; empty when the server has closed the connection.
  func receive() -> String {
    var bytes = [UInt8](repeating: 0, count: 8192)
    let length = unsafe bytes.withUnsafeMutableBytes { unsafe recv(socket.number, $0.baseAddress, $0.count, 0) }
    return String(decoding: bytes.prefix(max(0, length)), as: UTF8.self)
  }
}

@Suite struct ControlServerTests {
  @Test("Requests are answered, several on one connection") func answers() throws {
    let server = try Server()
    defer { server.end() }
    let client = try ControlClient(path: server.path)
    #expect(try client.ask(.version) == .done("1.2"))
    #expect(try client.ask(.balloonStatistics) == .failed("no balloon"))
    #expect(try client.ask(.suspend) == .done(""))
    #expect(server.seen == [.version, .balloonStatistics, .suspend])
  }

  @Test("Who waits for an answer holds nobody else up, and gets it, and those to what was asked meanwhile") func later() throws {
    let server = try Server()
    defer { server.end() }
    let other = try ControlClient(path: server.path)
    do {
      let gone = try Raw(server.path)
      gone.send(ControlMessage.packet(ControlRequest.balloonStatistics.words))
    }
    let waiting = try Raw(server.path)
    for request in [ControlRequest.balloonStatistics, .suspend] { waiting.send(ControlMessage.packet(request.words)) }
    for _ in 0..<10_000 where server.seen.count < 2 { usleep(1000) }
    #expect(try other.ask(.resume) == .done(""))
    #expect(server.seen == [.balloonStatistics, .balloonStatistics, .resume])
    #expect(try other.ask(.version) == .done("1.2"))
    #expect(waiting.receive().contains("no balloon"))
    #expect(!waiting.receive().isEmpty)
    #expect(server.seen == [.balloonStatistics, .balloonStatistics, .resume, .version, .suspend])
  }

  @Test("The socket is its owner's only, and goes with the server") func ownership() throws {
    let old = umask(0)
    defer { umask(old) }
    let server = try Server()
    var status = stat()
    #expect(unsafe lstat(server.path, &status) == 0)
    #expect(status.st_mode & 0o777 == 0o600)
    let path = server.path
    server.end()
    #expect(unsafe lstat(path, &status) != 0)
    #expect(throws: ControlError.missing(path)) { _ = try ControlClient(path: path) }
  }

  @Test("In a directory the socket has the process's number") func directory() throws {
    let server = try Server(path: "")
    defer { server.end() }
    #expect(server.path.hasSuffix("/crosvm-\(getpid()).sock"))
    #expect(try ControlClient(path: server.path).ask(.version) == .done("1.2"))
  }

  @Test("A socket that nobody listens at is replaced; one that lives is not, nor is a file") func places() throws {
    let server = try Server { folder in _ = try UnixSocket.listen(at: folder + "/socket", kind: .sequencedPacket) }
    defer { server.end() }
    let loop = try EventLoop()
    #expect(throws: ControlError.inUse(server.path)) {
      _ = try ControlServer(path: server.path, loop: loop, logger: Logger(label: "test")) { _ in .now(.done("")) }
    }
    #expect(try ControlClient(path: server.path).ask(.version) == .done("1.2"))
    let file = server.folder + "/file"
    _ = try OwnedDescriptor.open(file, flags: O_CREAT | O_WRONLY, mode: 0o600)
    defer { _ = unsafe unlink(file) }
    #expect(throws: ControlError.notASocket(file)) {
      _ = try ControlServer(path: file, loop: loop, logger: Logger(label: "test")) { _ in .now(.done("")) }
    }
    let stream = server.folder + "/stream"
    let listener = try UnixSocket.listen(at: stream, kind: .stream)
    defer { _ = unsafe unlink(stream) }
    #expect(throws: ControlError.notASocket(stream)) {
      _ = try ControlServer(path: stream, loop: loop, logger: Logger(label: "test")) { _ in .now(.done("")) }
    }
    _ = listener.number
  }

  @Test("Another's socket in the same place is left alone at the end") func replaced() throws {
    let server = try Server()
    _ = unsafe unlink(server.path)
    let other = try UnixSocket.listen(at: server.path, kind: .sequencedPacket)
    let path = server.path
    server.end()
    var status = stat()
    #expect(unsafe lstat(path, &status) == 0)
    _ = unsafe unlink(path)
    _ = unsafe rmdir(server.folder)
    _ = other.number
  }

  @Test(
    "Whoever does not speak the protocol is told, and loses the connection",
    arguments: [
      Array("crosvm 2 stop".utf8), Array("GET / HTTP/1.1".utf8), [0xff], [UInt8](repeating: 0x20, count: 4097),
      [UInt8](repeating: 0x20, count: 100_000),
    ])
  func strangers(_ packet: [UInt8]) throws {
    let server = try Server()
    defer { server.end() }
    let client = try Raw(server.path)
    #expect(client.send(packet))
    #expect(client.receive().hasPrefix("crosvm 1 error "))
    #expect(client.receive().isEmpty)
    #expect(server.seen.isEmpty)
    #expect(try ControlClient(path: server.path).ask(.version) == .done("1.2"))
  }

  @Test("A wrong request is refused, and the next one heard") func wrongRequest() throws {
    let server = try Server()
    defer { server.end() }
    let client = try Raw(server.path)
    client.send(Array("crosvm 1 fly".utf8))
    #expect(client.receive() == "crosvm 1 error this machine knows no such request")
    client.send(Array("crosvm 1 version".utf8))
    #expect(client.receive() == "crosvm 1 ok 1.2")
  }

  @Test("Clients that say nothing, hang up, or never read do no harm") func badClients() throws {
    let server = try Server()
    defer { server.end() }
    let silent = try Raw(server.path)
    for _ in 0..<50 { _ = try Raw(server.path) }
    let deaf = try Raw(server.path)
    _ = clinux_fcntl(deaf.socket.number, F_SETFL, Int(O_NONBLOCK))
    for _ in 0..<100_000 { if !deaf.send(Array("crosvm 1 version".utf8)) { break } }
    #expect(try ControlClient(path: server.path).ask(.version) == .done("1.2"))
    _ = silent.socket.number
  }

  @Test("Of a thousand connections at once the first are served, the others turned away, and all is well afterwards") func crowd() throws {
    DescriptorLimit.raise()
    let server = try Server()
    defer { server.end() }
    var clients = try (0..<1000).map { _ in try Raw(server.path) }
    for client in clients.dropFirst(ControlServer.connectionLimit) {
      #expect(client.receive().contains("too many clients"))
      #expect(client.receive().isEmpty)
    }
    for client in clients.prefix(ControlServer.connectionLimit) {
      client.send(Array("crosvm 1 version".utf8))
      #expect(client.receive() == "crosvm 1 ok 1.2")
    }
    #expect(clients.count == 1000 && server.seen.count == ControlServer.connectionLimit)
    clients.removeAll()
    // The server sees that they have gone before it sees who comes next, or soon after.
    var answer: ControlResponse?
    for _ in 0..<1000 {
      answer = try? ControlClient(path: server.path).ask(.version)
      if answer == .done("1.2") { break }
      usleep(10_000)
    }
    #expect(answer == .done("1.2"))
  }
}
