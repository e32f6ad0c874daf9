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

  @Test func aDescriptorClosesWithItsOwnerAndNotBefore() throws {
    let pipe = try TestPipe()
    let reader = try pipe.readEnd.duplicate()
    let writer = try pipe.writeEnd.duplicate()
    _ = consume pipe
    #expect(unsafe write(writer.number, [7] as [UInt8], 1) == 1)
    #expect(readSome(reader.number) == [7])
    _ = consume writer
    #expect(readSome(reader.number) == nil)
    _ = consume reader
  }

  @Test func aReleasedDescriptorIsTheCallersToClose() throws {
    let number = try OwnedDescriptor.open("/dev/null", flags: O_RDONLY).release()
    #expect(close(number) == 0)
  }

  @Test func descriptorsDoNotSurviveExec() throws {
    let file = try OwnedDescriptor.open("/dev/null", flags: O_RDONLY)
    let second = try file.duplicate()
    let flags = [file.number, second.number].map { fcntl($0, F_GETFD) }
    #expect(flags == [FD_CLOEXEC, FD_CLOEXEC])
    _ = consume file
    _ = consume second
  }

  @Test func anEventCountsUntilItIsDrainedAndNeverBlocks() throws {
    let event = try EventFD()
    #expect(event.drain() == 0)
    event.signal()
    event.signal()
    #expect(event.drain() == 2)
    // The largest count that an event holds.
    var nearlyFull = UInt64.max - 1
    #expect(unsafe write(event.number, &nearlyFull, 8) == 8)
    event.signal()
    #expect(event.drain() == UInt64.max - 1)
    #expect(event.drain() == 0)
  }

  @Test func anInterruptedCallIsRepeatedAndAFailedOneExplained() throws {
    var calls = 0
    let result = try retrying("try") {
      calls += 1
      errno = EINTR
      return calls < 3 ? -1 : 5
    }
    #expect(result == 5)
    #expect(calls == 3)
    let error = #expect(throws: SystemError.self) { _ = try OwnedDescriptor.open("/nonexistent/file", flags: O_RDONLY) }
    #expect(error?.description == "open /nonexistent/file: No such file or directory")
  }
}
