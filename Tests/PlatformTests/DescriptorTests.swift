import Glibc
import Platform
import Testing

@Suite struct DescriptorTests {
  @Test func aTimerExpiresOnceOrAgainAndAgainUntilItIsStopped() throws {
    let timer = try TimerFD()
    #expect(timer.drain() == 0)
    timer.start(after: 1_000_000)
    usleep(20_000)
    #expect(timer.drain() == 1)
    timer.start(after: 0, every: 1_000_000)
    usleep(20_000)
    #expect(timer.drain() > 5)
    timer.stop()
    usleep(5_000)
    #expect(timer.drain() == 0)
    timer.start(after: .max, every: .max)
    #expect(timer.drain() == 0)
  }

  @Test func blockedSignalsArriveAsData() throws {
    // A thread of its own, so that the test runner's threads keep their signals.
    nonisolated(unsafe) var received: [Int32?] = []
    let thread = try PThread(name: "signals") {
      guard let signals = try? SignalFD([SIGUSR1]) else { return }
      unsafe received.append(signals.next())
      pthread_kill(pthread_self(), SIGUSR1)
      unsafe received.append(signals.next())
      unsafe received.append(signals.next())
    }
    thread.join()
    #expect(unsafe received == [nil, SIGUSR1, nil])
  }

  @Test func socketsConnectByPath() throws {
    let directory = try TestDirectory()
    let path = directory.path + "/socket"
    let listener = try UnixSocket.listen(at: path, kind: .stream)
    let client = try UnixSocket.connect(to: path, kind: .stream)
    let server = try UnixSocket.accept(from: listener.number)
    #expect(unsafe write(client.number, [1, 2] as [UInt8], 2) == 2)
    #expect(readSome(server.number) == [1, 2])
    #expect(throws: SystemError.self) { _ = try UnixSocket.listen(at: path, kind: .stream) }
  }

  @Test(
    arguments: [
      ("", EINVAL), ("a\0b", EINVAL), (String(repeating: "x", count: 108), ENAMETOOLONG), ("/nonexistent/socket", ENOENT),
      (String(repeating: "x", count: 107), ENOENT),
    ] as [(String, Int32)])
  func aPathThatFitsNoAddressIsRefused(path: String, code: Int32) {
    let error = #expect(throws: SystemError.self) { _ = try UnixSocket.connect(to: path, kind: .stream) }
    #expect(error?.code == code)
  }
}
